//! What only a whole stack with real servers and clients can show.
