"""The app, put together: routes, middleware, answers to errors. Nothing lives at module level."""

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route

from imagebatch_api import problems
from imagebatch_api.batch_endpoints import BatchEndpoints
from imagebatch_api.endpoints import Endpoints
from imagebatch_api.lookup import Lookup
from imagebatch_api.metrics import Metrics
from imagebatch_api.middleware import AddHeaders, HeaderLimit, HostGuard, Measure, Recover, TokenGuard
from imagebatch_api.services import Services
from imagebatch_api.settings import ApiSettings
from imagebatch_api.tokens import TokenFile
from imagebatch_api.webhook_endpoints import WebhookEndpoints

__all__ = ["Services", "create_app"]


def create_app(services: Services, settings: ApiSettings) -> Starlette:
    """The API over `services`; the caller keeps them open as long as it is served.

    Raises SettingsError for a tokens file that is not usable.
    """
    metrics = Metrics()
    lookup = Lookup(services, settings)
    routes = [
        *_routes(Endpoints(services, settings, metrics, lookup)),
        *_batch_routes(BatchEndpoints(services, settings, lookup)),
        *_webhook_routes(WebhookEndpoints(services, lookup)),
    ]
    templates: dict[object, str] = {route.endpoint: route.path for route in routes}
    middleware = [
        Middleware(Measure, metrics, templates),
        Middleware(AddHeaders),
        Middleware(Recover),
        Middleware(HeaderLimit, settings.max_header_bytes),
        Middleware(HostGuard, settings.host_names),
    ]
    if settings.api_tokens_file is not None:
        middleware.append(Middleware(TokenGuard, TokenFile(settings.api_tokens_file)))
    return Starlette(routes=routes, middleware=middleware, exception_handlers=problems.HANDLERS)


def _routes(endpoints: Endpoints) -> list[Route]:
    return [
        Route("/", endpoints.index),
        Route("/upload", endpoints.upload, methods=["POST"]),
        Route("/status/{request_id}", endpoints.status),
        Route("/batches/{request_id}/errors.csv", endpoints.errors_csv),
        Route("/batches/{request_id}/report.csv", endpoints.report_csv),
        Route("/healthz", endpoints.healthz),
        Route("/readyz", endpoints.readyz),
        Route("/metrics", endpoints.metrics),
        Route("/openapi.json", endpoints.openapi),
    ]


def _batch_routes(batches: BatchEndpoints) -> list[Route]:
    one = "/batches/{request_id}"
    return [
        Route("/batches", batches.list),
        Route(one, batches.batch, methods=["GET", "DELETE"]),
        Route(f"{one}/events", batches.events),
        Route(f"{one}/images", batches.images),
        Route(f"{one}/cancel", batches.cancel, methods=["POST"]),
        Route(f"{one}/suspend", batches.suspend, methods=["POST"]),
        Route(f"{one}/resume", batches.resume, methods=["POST"]),
        Route(f"{one}/retry", batches.retry, methods=["POST"]),
    ]


def _webhook_routes(webhooks: WebhookEndpoints) -> list[Route]:
    of_batch = "/batches/{request_id}/webhooks"
    return [
        Route(of_batch, webhooks.webhooks),
        Route(f"{of_batch}/redeliver", webhooks.redeliver, methods=["POST"]),
        Route("/webhooks/test", webhooks.test, methods=["POST"]),
    ]
