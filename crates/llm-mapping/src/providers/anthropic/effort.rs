//! How much is thought in the room that there is.

use crate::tables::Policy;
use crate::{Chat, ChatError, Json, Outgoing, Text, ToolChoice};

/// The tokens that each effort stands for, as the table has them too.
const BUDGETS: [(&str, u64); 4] = [
    ("low", 1024),
    ("medium", 4096),
    ("high", 16384),
    ("xhigh", 24576),
];

/// Lowers an effort that leaves no room for the rest of the reply, or drops it: what is thought is a part of what the caller limits. Where a
/// tool must be called nothing can be thought.
pub(super) fn write(
    chat: &Chat<'_>,
    is_by_tool: bool,
    out: &mut Outgoing,
) -> Result<(), ChatError> {
    let is_called = matches!(
        chat.tool_choice,
        Some(ToolChoice::Required | ToolChoice::Function(_))
    );
    let is_forced = is_by_tool || (is_called && !chat.functions.is_empty());
    let [effort, most, old_most] =
        chat.json
            .pick(["reasoning_effort", "max_completion_tokens", "max_tokens"]);
    let effort = effort.and_then(Json::as_text).map(Text::decode);
    let most = most.or(old_most).and_then(Json::as_u64);
    let most = if is_forced { Some(0) } else { most };
    let Some((effort, most)) = effort.zip(most) else {
        return Ok(());
    };
    let Some(asked) = BUDGETS.iter().position(|(name, _)| *name == effort) else {
        return Ok(());
    };
    let mut lower = BUDGETS.iter().take(asked + 1).rev();
    match lower.find(|(_, budget)| *budget < most) {
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
