//! The decisions of execution, without NATS, clocks or locks: time and events come in as arguments.
//!
//! | file | decides |
//! |---|---|
//! | `request` | is this body a request that may travel on, and what does its routing need |
//! | `roster`  | what is known of each CSP of a group, and who is primary |
//! | `member`  | how loaded and how far behind one CSP is |
//! | `timeline`| how old a position is |
//! | `route`   | which CSP gets the request |
//! | `assignment` | which CSP holds which task |

pub mod assignment;
pub mod member;
pub mod request;
pub mod roster;
pub mod route;
pub mod timeline;
