"""What routes ask, by typed key of the app."""

from collections.abc import Callable

from aiohttp import web

from api.decision_queue import DecisionQueue
from api.intake import Intake
from api.metrics import Metrics
from api.models import ModelWriter
from api.overlay import RecentItems
from api.ranker import Ranker
from api.readiness import Readiness
from api.rows import RowReader
from api.settings import ApiSettings
from personalization.spec import Spec
from tables.replicas import Replicas
from tables.replicas.models import ModelReplica

SETTINGS = web.AppKey("settings", ApiSettings)
READINESS = web.AppKey("readiness", Readiness)
METRICS = web.AppKey("metrics", Metrics)
CLOCK: web.AppKey[Callable[[], int]] = web.AppKey("clock")
SPEC = web.AppKey("spec", Spec)
REPLICAS = web.AppKey("replicas", Replicas)
INTAKE = web.AppKey("intake", Intake)
ITEMS = web.AppKey("items", RecentItems)
RANKER = web.AppKey("ranker", Ranker)
QUEUE = web.AppKey("queue", DecisionQueue)
MODELS = web.AppKey("models", ModelWriter)
MODEL_REPLICA = web.AppKey("model replica", ModelReplica)
ROWS = web.AppKey("rows", RowReader)
OPENAPI = web.AppKey("openapi", bytes)
