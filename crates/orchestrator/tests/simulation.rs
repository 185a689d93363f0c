//! Two thousand seeds of the simulation, in eight parts that run side by side. A failing seed prints the shortest history
//! it can find; `cargo xtask simulate --seed N` runs it again, exactly.

mod seeded;

use seeded::case::{self, Case, Fault};
use seeded::{drive, shrink};

const SEEDS: u64 = 250;

fn part(number: u64) {
    for seed in number * SEEDS..(number + 1) * SEEDS {
        if let Err(story) = shrink::check(seed) {
            panic!("{story}");
        }
    }
}

macro_rules! parts {
    ($($name:ident $number:literal)*) => {$(
        #[test]
        fn $name() {
            part($number);
        }
    )*};
}

parts! {
    every_invariant_holds_in_part_1 0
    every_invariant_holds_in_part_2 1
    every_invariant_holds_in_part_3 2
    every_invariant_holds_in_part_4 3
    every_invariant_holds_in_part_5 4
    every_invariant_holds_in_part_6 5
    every_invariant_holds_in_part_7 6
    every_invariant_holds_in_part_8 7
}

/// One case, whole, with a crash before each of its writes, and after each.
fn crash_everywhere(seed: u64) {
    let case = Case { faults: Vec::new(), ..case::of(seed) };
    let writes = drive::run(&case).unwrap_or_else(|failure| panic!("{}", failure.message)).writes;
    for write in 0..writes {
        for after in [false, true] {
            let faults = vec![Fault::Crash { write, after }];
            if let Err(story) = shrink::check_case(Case { faults, ..case.clone() }) {
                panic!("{story}");
            }
        }
    }
}

#[test]
fn a_crash_before_and_after_every_write_loses_nothing() {
    for seed in [4, 17, 1_000_003] {
        crash_everywhere(seed);
    }
}

#[test]
fn a_seed_replays_exactly() {
    for seed in [3, 11, 42] {
        let one = shrink::check(seed).unwrap_or_else(|story| panic!("{story}"));
        let two = shrink::check(seed).unwrap_or_else(|story| panic!("{story}"));
        assert_eq!(one, two);
    }
}
