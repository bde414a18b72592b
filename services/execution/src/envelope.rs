//! A request with all that its CSP has to be told, kept until it ends. Nothing in it is copied when it is sent again: body and
//! subjects are counted references.

use crate::model::open_requests;
use crate::model::request::{self, Kind, Refusal, Request, Verb};
use async_nats::Message;
use async_nats::header::{HeaderMap, HeaderName, HeaderValue};
use holdfast_schemas::header::{self, TimeLeft};
use holdfast_schemas::{ErrorCode, limits};

const ID: HeaderName = HeaderName::from_static(header::ID);
const ATTEMPT: HeaderName = HeaderName::from_static(header::ATTEMPT);
const TIME_LEFT: HeaderName = HeaderName::from_static(header::TIME_LEFT);
const DISPOSITION: HeaderName = HeaderName::from_static(header::DISPOSITION);
const MESSAGE: HeaderName = HeaderName::from_static(header::MESSAGE);
const ROUTE: HeaderName = HeaderName::from_static(header::ROUTE);

/// A request as it travels.
#[derive(Debug)]
pub struct Envelope {
    /// The message as it came, without headers that are ours to set.
    pub message: Message,
    /// The id that it bears from here on.
    pub id: String,
    /// Whether the CSP finds the id in the body.
    pub id_is_in_body: bool,
    /// Whether it is the sender's own, so that the sender may have sent it before.
    pub id_is_senders: bool,
    /// When it came, by the clock that only grows.
    pub taken_at_ms: u64,
    /// What is asked for.
    pub kind: Kind,
}

/// What routing adds to one sending of a request.
#[derive(Debug, Clone, Copy)]
pub struct Stamp<'a> {
    /// Who we are.
    pub instance: &'a str,
    /// Under which number the CSP says that it is done; none if nobody waits for an answer.
    pub number: Option<u64>,
    /// How often it was sent, counted from 1.
    pub attempt: u32,
    /// Whether a CSP before may have carried it out.
    pub is_recovery: bool,
    /// Whether it is sent for the outcome that its id has already.
    pub asks: bool,
    /// Whether it is sent to be refused for good, or to be told its outcome.
    pub refuses: bool,
    /// How long its answer matters, counted from when it is sent.
    pub time_left: TimeLeft<'a>,
}

impl Envelope {
    /// Puts a request into an envelope. Its id is the body's, else the header's, else a new one.
    pub fn new(kind: Kind, mut message: Message, request: &mut Request, now_ms: u64) -> Result<Self, Refusal> {
        let id_is_in_body = request.id.is_some();
        let own = request.id.take().or_else(|| header_id(&message));
        let id_is_senders = own.is_some();
        let id = match own {
            Some(id) if request::id_fits(&id) => id,
            Some(_) => return Err(bad_header_id()),
            None => ulid::Ulid::generate().to_string(),
        };
        message.headers = message.headers.take().map(foreign);
        Ok(Self { message, id, id_is_in_body, id_is_senders, taken_at_ms: now_ms, kind })
    }

    /// The headers of one sending. Each costs parsing at the CSP, so what goes without saying is left out.
    pub fn headers(&self, stamp: Stamp<'_>) -> HeaderMap {
        let mut headers = self.message.headers.clone().unwrap_or_default();
        headers.insert(TIME_LEFT, HeaderValue::from(stamp.time_left.to_string()));
        if let Some(number) = stamp.number {
            headers.insert(ROUTE, HeaderValue::from(format!("{}:{number}", stamp.instance)));
            if matches!(self.kind, Kind::Transaction(Verb::Execute | Verb::End(_))) {
                let message = open_requests::ticket(number);
                headers.insert(MESSAGE, HeaderValue::from(format!("{}:{message}", stamp.instance)));
            }
        }
        if !self.id_is_in_body || stamp.is_recovery {
            headers.insert(ID, HeaderValue::from(self.id.as_str()));
        }
        if stamp.attempt > 1 {
            headers.insert(ATTEMPT, HeaderValue::from(stamp.attempt));
        }
        if stamp.is_recovery {
            headers.insert(DISPOSITION, HeaderValue::from(header::DISPOSITION_RECOVERY));
        }
        if stamp.asks {
            headers.insert(DISPOSITION, HeaderValue::from(header::DISPOSITION_OUTCOME));
        }
        if stamp.refuses {
            headers.insert(DISPOSITION, HeaderValue::from(header::DISPOSITION_REFUSE));
        }
        headers
    }
}

/// Only routing says what routing says: such headers of a client would be taken for ours where we leave them out.
fn foreign(headers: HeaderMap) -> HeaderMap {
    let ours = |name: &HeaderName| [ID, ATTEMPT, TIME_LEFT, DISPOSITION, MESSAGE, ROUTE].contains(name);
    let mut kept = HeaderMap::new();
    for (name, values) in headers.iter().filter(|(name, _)| !ours(name)) {
        for value in values {
            kept.append(name.clone(), value.clone());
        }
    }
    kept
}

fn header_id(message: &Message) -> Option<String> {
    let value = message.headers.as_ref()?.get(ID)?;
    Some(value.as_str().to_owned())
}

fn bad_header_id() -> Refusal {
    let message = format!(
        "the header {} must have 1 to {} printable ASCII characters without blanks",
        header::ID,
        limits::MAX_ID_BYTES
    );
    Refusal { id: None, code: ErrorCode::InvalidRequest, message }
}
