//! What the pages print is what the program prints: every block of docs/simulate.md and of the example's README that
//! begins with `$ towpath simulate` is run again.

use super::stage::{root, simulate};

/// The blocks of a page that show a call: its arguments, and what stands below.
fn calls(page: &str) -> Vec<(Vec<String>, String)> {
    let blocks = page.split("\n```").filter_map(|block| block.trim_start_matches("console").strip_prefix('\n'));
    let shown = blocks.filter_map(|block| block.strip_prefix("$ towpath simulate "));
    let call = |block: &str| {
        let (command, output) = block.split_once('\n').unwrap_or((block, ""));
        (command.split_whitespace().map(str::to_owned).collect(), output.to_owned())
    };
    shown.map(call).collect()
}

/// With TOWPATH_BLESS set, the page is written anew instead.
fn holds(page: &str, at_least: usize) {
    let file = root().join(page);
    let mut text = std::fs::read_to_string(&file).unwrap();
    let calls = calls(&text);
    assert!(calls.len() >= at_least, "{page} shows {} calls", calls.len());
    for (arguments, output) in calls {
        let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let (path, rest) = words.split_first().unwrap();
        let shown = simulate(path, rest);
        let real = format!("{}{}", shown.out, shown.err);
        let real = real.trim_end();
        if std::env::var_os("TOWPATH_BLESS").is_some() {
            let command = format!("$ towpath simulate {}\n", words.join(" "));
            text = text.replace(&format!("{command}{output}\n```"), &format!("{command}{real}\n```"));
        } else {
            assert_eq!(output, real, "{page}: {}", words.join(" "));
        }
    }
    if std::env::var_os("TOWPATH_BLESS").is_some() {
        std::fs::write(&file, text).unwrap();
    }
}

#[test]
fn the_page_prints_what_is_printed() {
    holds("docs/simulate.md", 6);
}

#[test]
fn the_readme_of_the_example_prints_what_is_printed() {
    holds("examples/progressive-delivery/README.md", 2);
}
