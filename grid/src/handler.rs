//! What serves calls: generated services, and raw handlers on bytes.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_core::Stream;
use futures_util::StreamExt;
use serde::Deserialize;

use crate::arguments::{ReadArguments, decode_named};
use crate::codec::decode;
use crate::context::Context;
use crate::description::{Codec, Describe};
use crate::error::{CodecError, RemoteError, SendError, StartError};
use crate::half::Half;
use crate::inbound::Inbound;
use crate::outbound::Outbound;
use crate::outcome::Faults;
use crate::proto::Reply;
use crate::rt::{Answer, Failure, Guests, Handler, Kind, Pace, Registry, Serving};
use crate::spare;
use crate::types::Encodes;
use crate::windows::Windows;
use crate::wire::{HandlerId, RefusalReason};

/// A service that a node can serve: the `..Server` that [`service`](macro@crate::service) generates.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a service",
    label = "of a type that implements the trait `T` of a service, serve `TServer::new(..)`"
)]
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
    pub fn inbound<T, X: Encodes<T>>(&self, _: X) -> Result<Inbound<T>, Failure> {
        Ok(Inbound::new(self.half()?, X::ENCODING.decode, Faults::none()))
    }

    /// Where items for the caller go.
    ///
    /// # Errors
    /// The call is no stream.
    pub fn outbound<T, X: Encodes<T>>(&self, _: X) -> Result<Outbound<T>, Failure> {
        Ok(Outbound::new(self.half()?, X::ENCODING.encode))
    }

    fn half(&self) -> Result<Half, Failure> {
        let half = self.half.clone().ok_or_else(|| Failure::new(RefusalReason::BadRequest, "the call is no stream"))?;
        Ok(Half { codec: self.codec, ..half })
    }

    /// The context of the call.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The end of a method with one answer.
    ///
    /// # Errors
    /// The method's own error, or an answer that cannot be encoded.
    pub fn reply<T, E, X: Encodes<T>, F: Encodes<E>>(
        &self,
        result: Result<T, E>,
        encoding: X,
        _: F,
    ) -> Result<Answer, Failure> {
        match result {
            Ok(answer) => self.reply_infallible(answer, encoding),
            Err(fault) => Err(self.fault::<E, F>(&fault)),
        }
    }

    /// The end of a method with one answer that cannot fail.
    ///
    /// # Errors
    /// An answer that cannot be encoded.
    pub fn reply_infallible<T, X: Encodes<T>>(&self, answer: T, _: X) -> Result<Answer, Failure> {
        Ok(Answer(Reply::Answer((X::ENCODING.encode)(self.codec, &answer).map_err(bad_answer)?)))
    }

    /// The end of a method that has sent its items.
    ///
    /// # Errors
    /// The method's own error.
    pub fn finished<E, F: Encodes<E>>(&self, result: Result<(), E>, _: F) -> Result<Answer, Failure> {
        match result {
            Ok(()) => self.finished_infallible(),
            Err(fault) => Err(self.fault::<E, F>(&fault)),
        }
    }

    /// The end of a method that has sent its items and cannot fail.
    ///
    /// # Errors
    /// None: it is a result as the other ends are.
    pub fn finished_infallible(&self) -> Result<Answer, Failure> {
        Ok(Answer(Reply::Nil))
    }

    /// Sends the items of a method that returned them as a stream, up to its first error.
    ///
    /// # Errors
    /// The method's own error, or an item that cannot be sent.
    pub async fn respond<T, E, X: Encodes<T>, F: Encodes<E>>(
        &self,
        items: impl Stream<Item = Result<T, E>>,
        encoding: X,
        _: F,
    ) -> Result<Answer, Failure> {
        match send_all(self.outbound(encoding)?, items).await {
            Ok(end) => end,
            Err(fault) => Err(self.fault::<E, F>(&fault)),
        }
    }

    /// Sends the items of a method that returned them as a stream and cannot fail.
    ///
    /// # Errors
    /// An item that cannot be sent.
    pub async fn respond_infallible<T, X: Encodes<T>>(
        &self,
        items: impl Stream<Item = T>,
        encoding: X,
    ) -> Result<Answer, Failure> {
        let Ok(end) = send_all(self.outbound(encoding)?, items.map(Ok::<T, Infallible>)).await;
        end
    }

    fn fault<E, F: Encodes<E>>(&self, fault: &E) -> Failure {
        match (F::ENCODING.encode)(self.codec, fault) {
            Ok(payload) => Failure(Reply::Error(payload)),
            Err(error) => bad_answer(error),
        }
    }

    /// There is no such method, for instance since it is compiled out.
    #[must_use]
    pub fn unknown_method(self) -> Serving {
        let id = self.context.handler_id();
        Box::pin(async move { Err(Failure::new(RefusalReason::UnknownHandler, format_args!("no method {id}"))) })
    }
}

/// Sends items until there are no more of them or one is an error, which is given back.
async fn send_all<T, E>(
    outbound: Outbound<T>,
    items: impl Stream<Item = Result<T, E>>,
) -> Result<Result<Answer, Failure>, E> {
    let mut items = pin!(items);
    loop {
        // Taken out of its result before the await, so that errors need not be `Send`.
        let item = match items.next().await {
            Some(Ok(item)) => item,
            Some(Err(fault)) => return Err(fault),
            None => break,
        };
        match outbound.send(item).await {
            Ok(()) => {}
            // Nobody hears of it.
            Err(SendError::Ended) => break,
            Err(SendError::Refused(refusal)) => return Ok(Err(Failure::new(refusal.reason(), refusal.message()))),
            Err(error) => return Ok(Err(Failure::new(RefusalReason::BadAnswer, error))),
        }
    }
    Ok(Ok(Answer(Reply::Nil)))
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
            method: Some((method.service, method.name)),
            subroute: subroute.clone(),
            detach: method.detach,
            pace: Pace::default(),
            guests: Guests::default(),
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
        method: None,
        subroute: None,
        detach: false,
        kind: Kind::Single,
        pace: Pace::default(),
        guests: Guests::default(),
        serve: Box::new(move |request| {
            let (context, payload, _) = Context::new(request);
            let answer = handler(context, payload);
            Box::pin(async move {
                match answer.await.map(Into::into) {
                    Ok(Some(payload)) => Ok(Answer(Reply::Answer(spare::payload_of(&payload)))),
                    Ok(None) => Ok(Answer(Reply::Nil)),
                    Err(error) => Err(Failure(Reply::Error(spare::payload_of(error.message().as_bytes())))),
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
        method: None,
        subroute: None,
        detach: false,
        kind: Kind::Stream(windows.clamped()),
        pace: Pace::default(),
        guests: Guests::default(),
        serve: Box::new(move |request| {
            let (context, payload, half) = Context::new(request);
            let Some(half) = half else { unreachable!("only streams reach the handler of a stream") };
            let inbound = Inbound::new(half.clone(), Ok, Faults::none());
            let outbound = Outbound::new(half, |_, item: &Bytes| Ok(spare::payload_of(item)));
            let ended = handler(context, payload, inbound, outbound);
            Box::pin(async move {
                match ended.await {
                    Ok(()) => Ok(Answer(Reply::Nil)),
                    Err(error) => Err(Failure(Reply::Error(spare::payload_of(error.message().as_bytes())))),
                }
            })
        }),
    };
    registry.insert(handler)
}
