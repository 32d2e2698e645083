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
from imagebatch_api.page.endpoints import PageEndpoints
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
    endpoints = Endpoints(services, settings, metrics, lookup)
    batches = BatchEndpoints(services, settings, lookup)
    webhooks = WebhookEndpoints(services, lookup)
    page = PageEndpoints(services, settings, endpoints.uploads, batches, webhooks)
    routes = [
        *_routes(endpoints),
        *_batch_routes(batches),
        *_webhook_routes(webhooks),
        *_page_routes(page),
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


def _page_routes(page: PageEndpoints) -> list[Route]:
    """The page: for people, so that only its first address is in the description for programs."""
    one = "/page/batches/{request_id}"
    return [
        Route("/", page.index),
        Route("/page/static/{digest}/{name}", page.static, include_in_schema=False),
        Route("/page/upload", page.upload, methods=["POST"], include_in_schema=False),
        Route("/page/batches", page.list, include_in_schema=False),
        Route(one, page.batch, include_in_schema=False),
        Route(f"{one}/cancel", page.cancel, methods=["POST"], include_in_schema=False),
        Route(f"{one}/suspend", page.suspend, methods=["POST"], include_in_schema=False),
        Route(f"{one}/resume", page.resume, methods=["POST"], include_in_schema=False),
        Route(f"{one}/retry", page.retry, methods=["POST"], include_in_schema=False),
        Route(f"{one}/webhooks/redeliver", page.redeliver, methods=["POST"], include_in_schema=False),
    ]
