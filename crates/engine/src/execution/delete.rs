//! DeletePipeline: nothing new starts, and everything that still runs is abandoned.

use towpath_model::state::StopRequest;

use crate::execution::stop;
use crate::stage::door;
use crate::step::Reply;
use crate::turn::{Result, Turn};

const REASON: &str = "The pipeline has been deleted.";

pub(crate) fn delete(turn: &mut Turn) -> Result<Reply> {
    let running: Vec<_> = turn.gate.active.iter().chain(&turn.gate.parallel).cloned().collect();
    // First the lines are emptied, so that no released lock lets anybody in.
    for id in &running {
        door::leave_line(turn, id);
    }
    for id in running {
        let request = StopRequest {
            reason: Some(REASON.to_owned()),
            abandon: true,
            requested_by: turn.gate.scope.account.clone(),
        };
        stop::apply(turn, &id, request)?;
    }
    Ok(Reply::Nothing)
}
