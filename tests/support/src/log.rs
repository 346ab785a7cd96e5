use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tracing::{Level, Span};
use tracing_subscriber::fmt::MakeWriter;

/// Everything that the tests of a process log, from `trace` up.
///
/// There is one subscriber for all of them: tracing keeps for the whole process whether somebody listens to an event. A test runs what it looks at in a span with a
/// field `name` of its own, and finds its lines by that.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

// === impl Log ===

impl Log {
    /// The log, which begins with the first call.
    ///
    /// # Panics
    /// When somebody else has set a global subscriber.
    #[must_use]
    pub fn get() -> Self {
        static LOG: OnceLock<Log> = OnceLock::new();
        LOG.get_or_init(|| {
            let log = Self::default();
            let subscriber = tracing_subscriber::fmt()
                .with_max_level(Level::TRACE)
                .with_writer(log.clone())
                .with_ansi(false)
                .without_time()
                .finish();
            tracing::subscriber::set_global_default(subscriber)
                .expect("no other subscriber in a process of tests");
            log
        })
        .clone()
    }

    /// A span for what one test looks at.
    #[must_use]
    pub fn span(&self, name: &'static str) -> Span {
        tracing::info_span!(
            "exchange",
            name,
            http.request.resend_count = tracing::field::Empty
        )
    }

    /// The lines in the span with this name.
    #[must_use]
    pub fn lines(&self, name: &str) -> Vec<String> {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&bytes);
        let mark = format!("name=\"{name}\"");
        let lines = text.lines().filter(|line| line.contains(&mark));
        lines.map(|line| line.trim().to_owned()).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
