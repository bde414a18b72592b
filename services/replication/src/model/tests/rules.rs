//! The rules one by one, as examples.
