"""Makes ``gymnasium.make("eenn_rl/EENN-v0")`` know the environment.

Every start of Python runs this module (see `register_when_imported`): at its top level it imports `sys` alone.
"""

import sys

TYPE_CHECKING = False  # what typing says, whose import would take longer than all else that Python's start does
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

ENV_ID = "eenn_rl/EENN-v0"


def register() -> None:
    """Add the environment and its vectorised form to Gymnasium's registry; a second call changes nothing."""
    from gymnasium.envs.registration import register as add
    from gymnasium.envs.registration import registry

    if ENV_ID not in registry:
        add(ENV_ID, entry_point="eenn_envs.single:EENNEnv", vector_entry_point="eenn_envs.vector:EENNVectorEnv")


class _AfterGymnasium:
    """A finder that registers the environment once gymnasium was imported, then is gone.

    Who only asks where gymnasium lies (`importlib.util.find_spec`) imports nothing, and leaves it in its place.
    """

    def find_spec(
        self, fullname: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        spec = self._found_by_others(fullname, path, target) if fullname == "gymnasium" else None
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_register(module: "ModuleType") -> None:
            execute(module)
            register()
            if self in sys.meta_path:
                sys.meta_path.remove(self)

        spec.loader.exec_module = execute_and_register  # type: ignore[method-assign]
        return spec

    def _found_by_others(
        self, fullname: str, path: "Sequence[str] | None", target: "ModuleType | None"
    ) -> "ModuleSpec | None":
        """What the finders after this one say: those before it have been asked, and asking all would come back here."""
        later = iter(tuple(sys.meta_path))
        next((finder for finder in later if finder is self), None)
        specs = (finder.find_spec(fullname, path, target) for finder in later if hasattr(finder, "find_spec"))
        return next((spec for spec in specs if spec is not None), None)


def register_when_imported() -> None:
    """Register now if gymnasium is loaded, or else as soon as it is: importing it here would cost those who never do.

    Gymnasium 1.0 dropped its entry-point plugins, so an installed package that wants to be found by name alone must
    be asked at start-up: the distribution's ``eenn_envs.pth`` imports `eenn_envs`, which calls this.
    """
    if "gymnasium" in sys.modules:
        register()
    elif not any(isinstance(finder, _AfterGymnasium) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterGymnasium())
