//! How to add a provider.
