//! SIGHUP: the mapping of parameters is read anew from the settings. All else in them waits for the next start.

use std::io;
use std::sync::Arc;

use portcullis::param_mapping::ParamMappingLayer;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::{Arguments, Settings};

/// From now on the signal no longer ends the process. Exchanges that have begun keep the mapping that they began with; a file with a mistake,
/// wherever it is, changes nothing.
pub(crate) fn on_hangup(arguments: Arguments, mapping: ParamMappingLayer) -> io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    let arguments = Arc::new(arguments);
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            let arguments = Arc::clone(&arguments);
            let read = tokio::task::spawn_blocking(move || Settings::read(&arguments)).await;
            match read {
                Ok(Ok(settings)) => {
                    mapping.reload(settings.mapping);
                    tracing::info!("the mapping is that of the file now");
                }
                Ok(Err(mistake)) => tracing::warn!(mistake, "the mapping stays as it was"),
                Err(error) => tracing::warn!(%error, "the mapping stays as it was"),
            }
        }
    });
    Ok(())
}
