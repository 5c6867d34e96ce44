"""The routes, one file per resource: parse, ask, answer."""

from api.operation import Operation
from api.routes import catalogue, decisions, events, identity, models, operations, ranking, rows

ALL: tuple[Operation, ...] = (
    *events.OPERATIONS,
    *catalogue.OPERATIONS,
    *identity.OPERATIONS,
    *ranking.OPERATIONS,
    *decisions.OPERATIONS,
    *rows.OPERATIONS,
    *models.OPERATIONS,
    *operations.OPERATIONS,
)
