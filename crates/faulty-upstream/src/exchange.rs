//! One request, whatever the protocol: which fault, what is read, what is done, what is answered.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use sha2::{Digest, Sha256};

use crate::answer::{Answer, grpc_status, hex};
use crate::fault::{Fault, FaultKind, GrpcPlace, Pushback};
use crate::idempotency::{self, Admission};
use crate::ledger::{Attempt, Record};
use crate::retry_after;
use crate::server::State;

/// One request from its head to its answer.
#[derive(Debug)]
pub(crate) struct Exchange {
    state: Arc<State>,
    head: Parts,
    fault: Fault,
    body: BytesMut,
    record: Record,
    key: Option<String>,
}

/// The request's body is over the limit.
#[derive(Debug)]
pub(crate) struct TooLarge;

/// What is sent, and how it is spoiled.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) answer: Answer,
    pub(crate) fault: FaultKind,
}

// === impl Exchange ===

impl Exchange {
    /// Begins an exchange; the error is the answer to a request whose fault cannot be understood.
    pub(crate) fn begin(
        state: &Arc<State>,
        head: Parts,
        connection: u64,
    ) -> Result<Self, Box<Answer>> {
        let test = text(&head.headers, "x-test-id");
        let key = idempotency::key(&head.headers);
        let attempt = Attempt {
            connection,
            method: head.method.to_string(),
            target: head
                .uri
                .path_and_query()
                .map(ToString::to_string)
                .unwrap_or_default(),
            headers: head.headers.clone(),
            ..Attempt::default()
        };
        let identity = key.clone().or_else(|| test.clone());
        let asked = text(&head.headers, "x-fault");
        let fault = match &asked {
            Some(asked) => state.asked(asked, identity.as_deref()),
            None => Ok(None),
        };
        let fault = fault.map_err(|mistake| {
            Box::new(Answer::problem(
                StatusCode::BAD_REQUEST,
                &mistake.to_string(),
            ))
        })?;

        let planned =
            asked.is_none() && test.as_deref().is_none_or(|test| !state.is_scripted(test));
        let fault = fault.or_else(|| test.as_deref().and_then(|test| state.scripted(test)));
        let (record, before) = state.ledger.begin(test, key.clone(), attempt);
        let fault = match fault {
            None if planned => state
                .plan
                .pick(identity.as_deref().unwrap_or_default(), before)
                .cloned(),
            fault => fault,
        };
        let fault = fault.unwrap_or(Fault::ok());
        record.fault(fault.to_string());
        Ok(Self {
            state: Arc::clone(state),
            head,
            fault,
            body: BytesMut::new(),
            record,
            key,
        })
    }

    /// How many bytes of the body to read before the answer; none: all.
    pub(crate) const fn reads(&self) -> Option<u64> {
        self.fault.reads()
    }

    pub(crate) fn received(&self) -> u64 {
        self.body.len() as u64
    }

    /// Takes in a piece of the request's body.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Result<(), TooLarge> {
        if self.body.len().saturating_add(piece.len()) > self.state.body_limit {
            return Err(TooLarge);
        }
        self.body.extend_from_slice(piece);
        Ok(())
    }

    /// Does the work, unless the fault says otherwise, and waits as the fault says. `whole`: all of the body is here.
    pub(crate) async fn finish(self, whole: bool) -> Outcome {
        let body = self.body.freeze();
        let sha256 = whole.then(|| hex(&Sha256::digest(&body)));
        self.record.body(body.len(), sha256);
        let work = Work {
            state: self.state,
            head: self.head,
            record: self.record,
            key: self.key,
        };

        let processed = self.fault.is_processed() && whole;
        let time = self.fault.work_time();
        let done = match (processed, time.is_zero()) {
            (false, _) => Ok(None),
            (true, true) => work.run(&body).map(Some),
            // In a task of its own: once begun, the work ends even when the client is gone.
            (true, false) => match work.admit(&body) {
                Err(refused) => Err(refused),
                Ok(Some(stored)) => Ok(Some(stored)),
                Ok(None) => {
                    let task = tokio::spawn(async move {
                        tokio::time::sleep(time).await;
                        work.process(&body)
                    });
                    let failed =
                        |_| Answer::problem(StatusCode::INTERNAL_SERVER_ERROR, "the work failed");
                    task.await
                        .map_err(|error| Box::new(failed(error)))
                        .map(Some)
                }
            },
        };
        tokio::time::sleep(self.fault.wait_before()).await;
        match done {
            Err(refused) => Outcome {
                answer: *refused,
                fault: FaultKind::Ok,
            },
            Ok(plain) => {
                let plain = plain.unwrap_or_else(|| Answer::text(StatusCode::BAD_GATEWAY, ""));
                Outcome {
                    answer: shape(plain, self.fault.kind()),
                    fault: self.fault.kind().clone(),
                }
            }
        }
    }
}

/// What an exchange does, and under which key.
struct Work {
    state: Arc<State>,
    head: Parts,
    record: Record,
    key: Option<String>,
}

// === impl Work ===

impl Work {
    fn run(&self, body: &Bytes) -> Result<Answer, Box<Answer>> {
        match self.admit(body)? {
            Some(stored) => Ok(stored),
            None => Ok(self.process(body)),
        }
    }

    /// The stored answer, if the work was done before; the error is the answer to a key that cannot be used now.
    fn admit(&self, body: &Bytes) -> Result<Option<Answer>, Box<Answer>> {
        let Some(key) = &self.key else {
            return Ok(None);
        };
        let mut payload = Sha256::new();
        payload.update(self.head.method.as_str());
        payload.update(self.head.uri.path());
        payload.update(body);
        let refused = |status, title| Err(Box::new(Answer::problem(status, title)));
        match self.state.keys.admit(key, &hex(&payload.finalize())) {
            Admission::Fresh => Ok(None),
            Admission::Stored(answer) => Ok(Some(*answer)),
            Admission::Running => refused(
                StatusCode::CONFLICT,
                "a request with this key is still being processed",
            ),
            Admission::Mismatch => refused(
                StatusCode::UNPROCESSABLE_ENTITY,
                "this key was used for another request",
            ),
        }
    }

    fn process(&self, body: &Bytes) -> Answer {
        self.record.processed();
        let answer = Answer::plain(&self.head, body);
        if let Some(key) = &self.key {
            self.state.keys.store(key, &answer);
        }
        answer
    }
}

/// The answer as the fault wants it, before the wire spoils it.
fn shape(plain: Answer, fault: &FaultKind) -> Answer {
    match fault {
        FaultKind::Status {
            status,
            retry_after,
        } => {
            let mut answer = Answer::text(*status, "a fault, as asked for\n");
            if let Some(form) = retry_after {
                answer
                    .headers
                    .insert(header::RETRY_AFTER, retry_after::value(*form, now()));
            }
            answer
        }
        FaultKind::Grpc {
            code,
            message,
            pushback,
            place,
        } => {
            let mut status = grpc_status(*code);
            if !message.is_empty()
                && let Ok(message) = HeaderValue::try_from(
                    percent_encoding::utf8_percent_encode(
                        message,
                        percent_encoding::NON_ALPHANUMERIC,
                    )
                    .to_string(),
                )
            {
                status.insert("grpc-message", message);
            }
            match pushback {
                None => {}
                Some(Pushback::Stop) => {
                    status.insert("grpc-retry-pushback-ms", HeaderValue::from_static("-1"));
                }
                Some(Pushback::After(wait)) => {
                    let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                    status.insert("grpc-retry-pushback-ms", HeaderValue::from(wait));
                }
            }
            match place {
                GrpcPlace::Headers => {
                    let mut answer = Answer::grpc(*code);
                    answer.headers.extend(status);
                    answer
                }
                GrpcPlace::Trailers => Answer {
                    trailers: Some(status),
                    ..plain
                },
            }
        }
        _ => plain,
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a date for a client is wall-clock time"
)]
fn now() -> SystemTime {
    SystemTime::now()
}
