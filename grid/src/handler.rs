//! What serves calls: generated services, and raw handlers on bytes.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_core::Stream;
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::arguments::{ReadArguments, decode_named};
use crate::codec::{decode, encode_answer, encode_fault};
use crate::context::Context;
use crate::description::{Codec, Describe};
use crate::error::{CodecError, RemoteError, SendError, StartError};
use crate::half::Half;
use crate::inbound::Inbound;
use crate::outbound::Outbound;
use crate::outcome::Faults;
use crate::proto::Reply;
use crate::rt::{Answer, Failure, Handler, Kind, Registry, Serving};
use crate::windows::Windows;
use crate::wire::{HandlerId, PayloadBuf, RefusalReason};

/// A service that a node can serve: the `..Server` that [`service`](macro@crate::service) generates.
pub trait Service: Describe + Send + Sync + 'static {
    #[doc(hidden)]
    fn handle(&self, method: u8, request: Request) -> Serving;
}

/// A request for a generated service.
#[derive(Debug)]
pub struct Request {
    context: Context,
    payload: Bytes,
    codec: Codec,
    half: Option<Half>,
}

impl Request {
    /// The one argument of the method.
    ///
    /// # Errors
    /// The payload is something else.
    pub fn argument<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Failure> {
        decode(&self.payload).map_err(bad_request)
    }

    /// The arguments of the method, by their names.
    ///
    /// # Errors
    /// The payload is something else, or lacks one of them.
    pub fn arguments<'a, const N: usize, T: ReadArguments<'a, N>>(
        &'a self,
        names: [&'static str; N],
    ) -> Result<T, Failure> {
        decode_named(names, &self.payload).map_err(bad_request)
    }

    /// The items that the caller sends.
    ///
    /// # Errors
    /// The call is no stream.
    pub fn inbound<T: DeserializeOwned>(&self) -> Result<Inbound<T>, Failure> {
        Ok(Inbound::typed(self.half()?, Faults::none()))
    }

    /// Where items for the caller go.
    ///
    /// # Errors
    /// The call is no stream.
    pub fn outbound<T: Serialize + 'static>(&self) -> Result<Outbound<T>, Failure> {
        Ok(Outbound::typed(self.half()?))
    }

    fn half(&self) -> Result<Half, Failure> {
        let half = self.half.clone().ok_or_else(|| Failure::new(RefusalReason::BadRequest, "the call is no stream"))?;
        Ok(Half { codec: self.codec, ..half })
    }

    /// Sends what a method returned as a stream, up to its first error.
    ///
    /// # Errors
    /// The method's own error, or an item that cannot be sent.
    pub async fn respond<T: Serialize + 'static, E: Serialize + 'static>(
        &self,
        items: impl Stream<Item = Result<T, E>>,
    ) -> Result<Answer, Failure> {
        let outbound = self.outbound()?;
        let mut items = pin!(items);
        while let Some(item) = items.next().await {
            match item {
                Ok(item) => {
                    if let Some(end) = sent(outbound.send(item).await) {
                        return end;
                    }
                }
                Err(fault) => return self.finished::<E>(Err(fault)),
            }
        }
        Ok(Answer(Reply::Nil))
    }

    /// Sends what a method returned as a stream that cannot fail.
    ///
    /// # Errors
    /// An item that cannot be sent.
    pub async fn respond_infallible<T: Serialize + 'static>(
        &self,
        items: impl Stream<Item = T>,
    ) -> Result<Answer, Failure> {
        let outbound = self.outbound()?;
        let mut items = pin!(items);
        while let Some(item) = items.next().await {
            if let Some(end) = sent(outbound.send(item).await) {
                return end;
            }
        }
        Ok(Answer(Reply::Nil))
    }

    /// The end of a method whose answers were items.
    ///
    /// # Errors
    /// The method's own error.
    pub fn finished<E: Serialize + 'static>(&self, result: Result<(), E>) -> Result<Answer, Failure> {
        match result {
            Ok(()) => Ok(Answer(Reply::Nil)),
            Err(fault) => Err(Failure(Reply::Error(encode_fault(self.codec, &fault).map_err(bad_answer)?))),
        }
    }

    /// The context of the call.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The end of a method that can fail.
    ///
    /// # Errors
    /// The method's own error, or an answer that cannot be encoded.
    pub fn reply<T: Serialize + 'static, E: Serialize + 'static>(
        &self,
        result: Result<T, E>,
    ) -> Result<Answer, Failure> {
        match result {
            Ok(answer) => self.reply_infallible(answer),
            Err(fault) => self.finished(Err(fault)),
        }
    }

    /// The end of a method that cannot fail.
    ///
    /// # Errors
    /// An answer that cannot be encoded.
    pub fn reply_infallible<T: Serialize + 'static>(&self, answer: T) -> Result<Answer, Failure> {
        Ok(Answer(Reply::Answer(encode_answer(self.codec, &answer).map_err(bad_answer)?)))
    }

    /// There is no such method, for instance since it is compiled out.
    #[must_use]
    pub fn unknown_method(self) -> Serving {
        let id = self.context.handler_id();
        Box::pin(async move { Err(Failure::new(RefusalReason::UnknownHandler, format_args!("no method {id}"))) })
    }
}

/// What becomes of a handler whose item was sent, or not. `None`: it goes on.
fn sent(sent: Result<(), SendError>) -> Option<Result<Answer, Failure>> {
    match sent {
        Ok(()) => None,
        // Nobody hears of it.
        Err(SendError::Ended) => Some(Ok(Answer(Reply::Nil))),
        Err(error) => Some(Err(Failure::new(RefusalReason::BadAnswer, error))),
    }
}

fn bad_request(error: CodecError) -> Failure {
    Failure::new(RefusalReason::BadRequest, format_args!("cannot decode the arguments: {error}"))
}

fn bad_answer(error: CodecError) -> Failure {
    Failure::new(RefusalReason::BadAnswer, format_args!("cannot encode the answer: {error}"))
}

/// Registers each method of a service.
pub(crate) fn register<S: Service>(
    registry: &mut Registry,
    service: S,
    subroute: Option<Arc<str>>,
) -> Result<(), StartError> {
    let service = Arc::new(service);
    for method in S::DESCRIPTION.methods {
        let service = Arc::clone(&service);
        let (number, codec) = (method.id.method(), method.codec);
        let handler = Handler {
            id: method.id,
            label: format!("{}.{}", method.service, method.name).into(),
            subroute: subroute.clone(),
            detach: method.detach,
            kind: method.kind.windows().map_or(Kind::Single, |windows| Kind::Stream(windows.clamped())),
            serve: Box::new(move |request| {
                let (context, payload, half) = Context::new(request);
                service.handle(number, Request { context, payload, codec, half })
            }),
        };
        registry.insert(handler)?;
    }
    Ok(())
}

/// Registers a handler on bytes.
pub(crate) fn register_raw<H, F, R>(registry: &mut Registry, id: HandlerId, handler: H) -> Result<(), StartError>
where
    H: Fn(Context, Bytes) -> F + Send + Sync + 'static,
    F: Future<Output = Result<R, RemoteError>> + Send + 'static,
    R: Into<Option<Bytes>>,
{
    let handler = Handler {
        id,
        label: format!("raw handler {id}").into(),
        subroute: None,
        detach: false,
        kind: Kind::Single,
        serve: Box::new(move |request| {
            let (context, payload, _) = Context::new(request);
            let answer = handler(context, payload);
            Box::pin(async move {
                match answer.await.map(Into::into) {
                    Ok(Some(payload)) => Ok(Answer(Reply::Answer(PayloadBuf::copy_from(&payload)))),
                    Ok(None) => Ok(Answer(Reply::Nil)),
                    Err(error) => Err(Failure(Reply::Error(PayloadBuf::copy_from(error.message().as_bytes())))),
                }
            })
        }),
    };
    registry.insert(handler)
}

/// Registers a handler on streams of bytes.
pub(crate) fn register_raw_stream<H, F>(
    registry: &mut Registry,
    id: HandlerId,
    windows: Windows,
    handler: H,
) -> Result<(), StartError>
where
    H: Fn(Context, Bytes, Inbound<Bytes>, Outbound<Bytes>) -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), RemoteError>> + Send + 'static,
{
    let handler = Handler {
        id,
        label: format!("raw stream handler {id}").into(),
        subroute: None,
        detach: false,
        kind: Kind::Stream(windows.clamped()),
        serve: Box::new(move |request| {
            let (context, payload, half) = Context::new(request);
            let Some(half) = half else { unreachable!("only streams reach the handler of a stream") };
            let inbound = Inbound::new(half.clone(), Ok, Faults::none());
            let outbound = Outbound::new(half, |_, item: &Bytes| Ok(PayloadBuf::copy_from(item)));
            let ended = handler(context, payload, inbound, outbound);
            Box::pin(async move {
                match ended.await {
                    Ok(()) => Ok(Answer(Reply::Nil)),
                    Err(error) => Err(Failure(Reply::Error(PayloadBuf::copy_from(error.message().as_bytes())))),
                }
            })
        }),
    };
    registry.insert(handler)
}
