//! Tests of the entry format.
