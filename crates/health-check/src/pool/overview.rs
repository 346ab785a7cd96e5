use crate::endpoints::{Down, Overview};
use crate::pool::shared::Shared;

impl<S> Shared<S> {
    /// How many endpoints there are, and which get no calls.
    pub(crate) fn overview(&self) -> Overview {
        let down = self.look(|member, status| {
            let (health, passive) = (member.health.as_ref(), member.passive.as_ref());
            (!status.usable).then(|| Down::look(&member.name, health, passive))
        });
        Overview {
            all: down.len(),
            down: down.into_iter().flatten().collect(),
        }
    }
}
