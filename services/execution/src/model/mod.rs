//! The decisions of execution, without NATS, clocks or locks: time and events come in as arguments.
//!
//! | file | decides |
//! |---|---|
//! | `request` | is this body a request that may travel on, and what does its routing need |
//! | `lock` | the same of messages about locks |
//! | `traffic` | what becomes of a request from its arrival to its end: where it goes, and where it goes next |
//! | `open_requests` | which requests are open, and where each of them is |
//! | `effect`  | what the rules want done |
//! | `roster`  | what is known of each CSP of a group, and who is primary |
//! | `member`  | how loaded and how far behind one CSP is |
//! | `timeline`| how old a position is |
//! | `route`   | which CSP gets the request |
//! | `pools`   | which CSPs a query may go to that names a pool |
//! | `gate`    | whether an update may pass now, by the group's update windows |
//! | `update_window` | when a window is open |
//! | `probe`   | when a CSP is asked whether it is still there |
//! | `service_time` | what a request weighs at a slow CSP |
//! | `suspicion` | whether a request kills whoever works on it |
//! | `pace`    | how long a request would wait behind others |
//! | `policy`  | the numbers that the rules go by |
//! | `assignment` | which CSP holds which task |

pub mod assignment;
pub mod effect;
pub mod gate;
pub mod lock;
pub mod member;
pub mod open_requests;
pub mod pace;
pub mod policy;
pub mod pools;
pub mod probe;
pub mod request;
pub mod roster;
pub mod route;
pub mod service_time;
pub mod suspicion;
pub mod timeline;
pub mod traffic;
pub mod update_window;
