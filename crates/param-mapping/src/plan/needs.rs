//! What a step must have of a message, as far as that is known before the body was read.

use super::{Step, Task};
use crate::content::Document;
use crate::env::Env;
use crate::read::Read;
use crate::refusal::Refusal;
use crate::trie::Mode;
use crate::{Address, OnError};

// === impl Step ===

impl Step {
    /// What must be there, and not in the body.
    pub(crate) fn asks_head(&self) -> Option<&Read> {
        if self.when.is_some() || !self.fallback.is_empty() || self.on_error != OnError::Reject {
            return None;
        }
        match &self.task {
            Task::Require(reads) => reads.iter().find(|read| !read.address.is_late()),
            Task::First(reads) if self.required && reads.len() == 1 => {
                reads.first().filter(|read| !read.address.is_late())
            }
            _ => None,
        }
    }

    /// An address for which a message without such a document must be refused.
    pub(crate) fn needs(
        &self,
        document: Document,
        env: &Env<'_>,
    ) -> Result<Option<&Address>, Refusal> {
        let reach = self.reach;
        let (is_reached, is_source) = match document {
            Document::Json => (reach.body, reach.body_in_source),
            Document::Form => (reach.form, reach.form_in_source),
        };
        if !is_reached || reach.late_in_when || self.on_error != OnError::Reject {
            return Ok(None);
        }
        if let Some(when) = &self.when
            && !when.holds(env)?
        {
            return Ok(None);
        }
        let is_in_it = |address: &&Address| document.holds(address);
        let target = self.to.iter().find(is_in_it);
        let adds = matches!(
            self.mode,
            Mode::Set | Mode::Append | Mode::Prepend | Mode::Merge
        );
        Ok(match &self.task {
            Task::Require(reads) => reads.iter().map(|read| &read.address).find(is_in_it),
            Task::Test(read, _) => Some(&read.address).filter(is_in_it),
            Task::First(reads) if is_source => {
                let first = reads.iter().map(|read| &read.address);
                first
                    .filter(|_| self.required)
                    .find(|address| is_in_it(address) || address.is_var())
            }
            // Variables are not known yet.
            Task::First(reads)
                if self.required && reads.iter().any(|read| read.address.is_var()) =>
            {
                target.filter(|_| adds)
            }
            Task::First(reads) => {
                let mut is_there = false;
                for read in reads {
                    is_there |= read.is_there(env)?;
                }
                target.filter(|_| adds && is_there)
            }
            Task::Constant(_) => target.filter(|_| adds),
            #[cfg(feature = "generate")]
            Task::Generate(_) => target.filter(|_| adds),
            Task::Template(_) | Task::Path(..) | Task::Sum(_) => {
                let is_late = reach.body_in_source || reach.form_in_source || reach.var;
                target.filter(|_| adds && !is_late)
            }
            Task::Nothing | Task::Each(..) => None,
        })
    }
}
