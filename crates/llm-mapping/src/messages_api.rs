//! Anthropic's Messages API as the caller's: requests become chats, completions become messages, chunks become events.

pub(crate) mod error;
pub(crate) mod events;
pub(crate) mod reply;
pub(crate) mod request;
