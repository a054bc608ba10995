//! What serves calls: generated services, and raw handlers on bytes.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::arguments::{ReadArguments, decode_named};
use crate::codec::{decode, encode_answer, encode_fault};
use crate::context::Context;
use crate::description::{Codec, Describe};
use crate::error::{CodecError, RemoteError, StartError};
use crate::proto::Reply;
use crate::rt::{Answer, Failure, Handler, Registry, Serving};
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
            Err(fault) => Err(Failure(Reply::Error(encode_fault(self.codec, &fault).map_err(bad_answer)?))),
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
            serve: Box::new(move |request| {
                let (context, payload) = Context::new(request);
                service.handle(number, Request { context, payload, codec })
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
        serve: Box::new(move |request| {
            let (context, payload) = Context::new(request);
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
