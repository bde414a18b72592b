//! The window by itself.
