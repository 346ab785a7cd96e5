//! How much is thought in the room that there is.

use crate::tables::Policy;
use crate::{Chat, ChatError, Json, Outgoing, Text};

/// The tokens that each effort stands for, as the table has them too.
const BUDGETS: [(&str, u64); 4] = [
    ("low", 1024),
    ("medium", 4096),
    ("high", 16384),
    ("xhigh", 24576),
];

/// Lowers an effort that leaves no room for the rest of the reply, or drops it: what is thought is a part of what the caller limits.
pub(super) fn write(chat: &Chat<'_>, out: &mut Outgoing) -> Result<(), ChatError> {
    let [effort, most, old_most] =
        chat.json
            .pick(["reasoning_effort", "max_completion_tokens", "max_tokens"]);
    let effort = effort.and_then(Json::as_text).map(Text::decode);
    let most = most.or(old_most).and_then(Json::as_u64);
    let Some((effort, most)) = effort.zip(most) else {
        return Ok(());
    };
    let asked = BUDGETS.iter().position(|(name, _)| *name == effort);
    let mut lower = BUDGETS
        .iter()
        .take(asked.map_or(0, |asked| asked + 1))
        .rev();
    match lower.find(|(_, budget)| *budget < most) {
        _ if asked.is_none() => {}
        Some((fits, _)) if *fits == effort => {}
        Some((fits, _)) => {
            out.param("reasoning_effort").string(fits);
            out.clamped("reasoning_effort");
        }
        None => {
            if !out.unsupported("reasoning_effort", Policy::Drop)? {
                out.param("reasoning_effort").string("none");
            }
        }
    }
    Ok(())
}
