use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::{BoxFuture, Either};
use http::{Request, Response};
use tonic::body::Body;
use tonic::service::Routes;
use tower::{Layer, Service, ServiceExt};

/// Services by their names, called without a look at the routes: those have patterns, and make
/// parameters of what matches, for every call anew.
#[derive(Clone, Default)]
pub(super) struct Dispatch(Arc<HashMap<&'static str, Call>>);

type Call = Arc<dyn Fn(Request<Body>) -> Answer + Send + Sync>;
type Answer = BoxFuture<'static, Result<Response<Body>, Infallible>>;

impl Dispatch {
    pub(super) fn add<S>(&mut self, name: &'static str, service: S)
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
        S: Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        let call = move |request| -> Answer { Box::pin(service.clone().oneshot(request)) };
        let services = Arc::make_mut(&mut self.0);
        services.insert(name, Arc::new(call));
    }
}

impl Layer<Routes> for Dispatch {
    type Service = Dispatched;

    fn layer(&self, routes: Routes) -> Dispatched {
        let services = self.clone();
        Dispatched { services, routes }
    }
}

/// Routes, for what is not a call of a known service.
#[derive(Clone)]
pub(super) struct Dispatched {
    services: Dispatch,
    routes: Routes,
}

impl Service<Request<Body>> for Dispatched {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<Answer, <Routes as Service<Request<Body>>>::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<Body>>::poll_ready(&mut self.routes, context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let name = request.uri().path().strip_prefix('/');
        let name = name
            .and_then(|path| path.split_once('/'))
            .map(|(name, _)| name);
        match name.and_then(|name| self.services.0.get(name)) {
            Some(call) => Either::Left(call(request)),
            None => Either::Right(self.routes.call(request)),
        }
    }
}
