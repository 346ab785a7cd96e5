use portcullis_gateway_error::{DefaultClassifier, GatewayError, GatewayErrorLayer};
use portcullis_health_check::{Health, HealthCheck, HealthCheckLayer, Pool, State};
use portcullis_param_mapping::{Mapping, ParamMapping, ParamMappingLayer};
use portcullis_retry_on_gateway_error::{Direct, Retry, RetryLayer, StandardPolicy};
use portcullis_timeout::{Timeout, TimeoutLayer};
use tower_layer::Layer;

/// Every layer in its place, around a client whose errors the [`DefaultClassifier`] knows.
///
/// See the [crate docs](crate) for examples.
#[must_use = "a layer does nothing until it is applied"]
#[derive(Clone, Debug)]
pub struct Stack {
    gateway_error: GatewayErrorLayer,
    timeout: TimeoutLayer,
    retry: RetryLayer,
    attempt_timeout: TimeoutLayer,
    health_check: HealthCheckLayer<DefaultClassifier>,
    param_mapping: ParamMappingLayer,
}

/// The service that [`Stack`] makes.
pub type StackService<S> = Around<HealthCheck<ParamMapping<S>, DefaultClassifier>>;

/// The service that [`Stack::over`] makes.
pub type PoolService<S> = Around<Pool<ParamMapping<S>>>;

/// What stands around the gate or the pool.
type Around<S> = GatewayError<
    Timeout<Retry<Timeout<S>, StandardPolicy, DefaultClassifier, Direct>>,
    DefaultClassifier,
>;

// === impl Stack ===

impl Stack {
    /// A stack of the defaults: three attempts, no limit of time, an open gate, no mapping.
    pub fn new() -> Self {
        Self {
            gateway_error: GatewayErrorLayer::new(),
            timeout: TimeoutLayer::default(),
            retry: RetryLayer::new(),
            attempt_timeout: TimeoutLayer::default(),
            health_check: HealthCheckLayer::new(Health::fixed(State::Up))
                .classifier(DefaultClassifier),
            param_mapping: ParamMappingLayer::new(Mapping::default()),
        }
    }

    /// Replaces how errors are answered.
    pub fn gateway_error(mut self, layer: GatewayErrorLayer) -> Self {
        self.gateway_error = layer;
        self
    }

    /// Replaces the limits of the whole exchange.
    pub fn timeout(mut self, layer: TimeoutLayer) -> Self {
        self.timeout = layer;
        self
    }

    /// Replaces when there is another attempt.
    pub fn retry(mut self, layer: RetryLayer) -> Self {
        self.retry = layer;
        self
    }

    /// Replaces the limits of one attempt.
    pub fn attempt_timeout(mut self, layer: TimeoutLayer) -> Self {
        self.attempt_timeout = layer;
        self
    }

    /// Replaces the gate. Where it looks at calls, the [`DefaultClassifier`] says how they went.
    pub fn health_check<C>(mut self, layer: HealthCheckLayer<C>) -> Self {
        self.health_check = layer.classifier(DefaultClassifier);
        self
    }

    /// Replaces the mapping of parameters.
    pub fn param_mapping(mut self, layer: ParamMappingLayer) -> Self {
        self.param_mapping = layer;
        self
    }

    /// The innermost layer alone, around the client of one endpoint of a pool.
    #[must_use]
    pub fn member<S>(&self, client: S) -> ParamMapping<S> {
        self.param_mapping.layer(client)
    }

    /// The stack over the endpoints of a pool, each of them made by [`member`](Self::member). The pool stands in place of the gate.
    ///
    /// Let the retry layer [`track_endpoints`](RetryLayer::track_endpoints), so that another attempt goes to another endpoint.
    #[must_use]
    pub fn over<S>(&self, pool: Pool<ParamMapping<S>>) -> PoolService<S> {
        self.around(pool)
    }

    fn around<S>(&self, inner: S) -> Around<S> {
        let attempt = self.attempt_timeout.layer(inner);
        self.gateway_error
            .layer(self.timeout.layer(self.retry.layer(attempt)))
    }
}

impl Default for Stack {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for Stack {
    type Service = StackService<S>;

    fn layer(&self, client: S) -> Self::Service {
        let mapped = self.param_mapping.layer(client);
        self.around(self.health_check.layer(mapped))
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::num::NonZeroU32;
    use std::time::Duration;

    use bytes::Bytes;
    use http::{Request, Response, StatusCode};
    use http_body_util::Full;
    use portcullis_gateway_error::{Decision, RetryOutcome, StopReason};
    use portcullis_retry_on_gateway_error::Backoff;
    use tower::{ServiceExt, service_fn};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_answer_of_the_total_limit_shows_the_attempts_that_it_ended() {
        let client = service_fn(|_| async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let mut response = Response::new(Full::new(Bytes::new()));
            *response.status_mut() = StatusCode::BAD_GATEWAY;
            Ok::<_, Infallible>(response)
        });
        let service = Stack::new()
            .timeout(TimeoutLayer::new(Duration::from_millis(3500)))
            .retry(
                RetryLayer::new()
                    .max_attempts(NonZeroU32::new(9).unwrap())
                    .backoff(Backoff::fixed(Duration::from_millis(500))),
            )
            .layer(client);

        let response = service
            .oneshot(Request::new(Full::new(Bytes::new())))
            .await
            .unwrap();

        assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
        let attempts: &RetryOutcome = response.extensions().get().unwrap();
        let last = attempts.last().unwrap();
        assert_eq!(attempts.records().len(), 3, "{attempts}");
        assert_eq!(
            last.decision,
            Decision::Stop(StopReason::Deadline),
            "{attempts}"
        );
    }
}
