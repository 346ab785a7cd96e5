use std::fmt;
use std::path::Path;
use std::sync::Arc;

use http::HeaderValue;
use portcullis_gateway_error::InvalidConfig;

/// The key by which a provider knows who calls. It is never shown: not by `Debug`, not in logs, not in errors that a provider repeats it in.
///
/// ```
/// use portcullis_llm_mapping::ApiKey;
///
/// let key = ApiKey::new("sk-secret")?;
/// assert_eq!(format!("{key:?}"), "ApiKey(..)");
/// assert!(ApiKey::new("two\nlines").is_err());
/// # Ok::<_, portcullis_gateway_error::InvalidConfig>(())
/// ```
#[derive(Clone, Eq, PartialEq)]
pub struct ApiKey(Arc<str>);

// === impl ApiKey ===

impl ApiKey {
    /// A key.
    ///
    /// # Errors
    /// When it is empty, or cannot stand in a header.
    pub fn new(key: impl AsRef<str>) -> Result<Self, InvalidConfig> {
        let key = key.as_ref().trim();
        if key.is_empty() || HeaderValue::from_str(key).is_err() {
            return Err(InvalidConfig::new(
                "api_key",
                "is empty or cannot stand in a header",
            ));
        }
        Ok(Self(key.into()))
    }

    /// The key that an environment variable holds.
    ///
    /// # Errors
    /// When there is none, or none that can stand in a header.
    pub fn from_env(name: &str) -> Result<Self, InvalidConfig> {
        let key = std::env::var(name).map_err(|_| {
            let message = format!("the environment variable `{name}` is not set");
            InvalidConfig::new("api_key", message)
        })?;
        Self::new(key)
    }

    /// The key that a file holds, without the space around it.
    ///
    /// # Errors
    /// When it cannot be read, or holds none that can stand in a header.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, InvalidConfig> {
        let path = path.as_ref();
        let key = std::fs::read_to_string(path).map_err(|error| {
            let message = format!("`{}` cannot be read: {error}", path.display());
            InvalidConfig::new("api_key", message)
        })?;
        Self::new(key)
    }

    /// Returns the key. Whoever takes it keeps it from logs.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(..)")
    }
}
