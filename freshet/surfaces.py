"""The surfaces of a deployment."""

from collections.abc import Sequence
from typing import Any

from freshet.settings import SettingsError, import_attribute
from freshet.specs import in_one_line
from personalization.ranking.similar import SIMILAR, similar_surface
from personalization.ranking.surface import Surface, SurfaceError, check_surface, default_surface
from personalization.spec import Spec


def load_surfaces(path: str | None, spec: Spec) -> dict[str, Surface]:
    """The declared surfaces, by name, ``default`` and ``similar``. Raises ``SettingsError``."""
    declared = [] if path is None else _imported(path)
    default = default_surface(spec.plan.categories, spec.plan.vectors)
    surfaces = {default.name: default, SIMILAR: similar_surface()}
    for surface in declared:
        if not isinstance(surface, Surface):
            raise SettingsError(f"surfaces: {path!r} holds a {type(surface).__name__}")
        try:
            check_surface(surface, spec.plan)
        except SurfaceError as error:
            raise SettingsError(f"surfaces: {error}") from error
        surfaces[surface.name] = surface
    return surfaces


def _imported(path: str) -> Sequence[Any]:
    try:
        surfaces: Sequence[Any] = import_attribute(path, (list, tuple), "surfaces")
    except SettingsError:
        raise
    except Exception as error:  # the module is its author's code: it may raise anything
        raise SettingsError(f"surfaces: {path!r}: {in_one_line(error)}") from error
    return surfaces
