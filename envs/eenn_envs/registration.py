"""Makes ``gymnasium.make("eenn_rl/EENN-v0")`` know the environment."""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

ENV_ID = "eenn_rl/EENN-v0"


def register() -> None:
    """Add the environment and its vectorised form to Gymnasium's registry; a second call changes nothing."""
    from gymnasium.envs.registration import register as add
    from gymnasium.envs.registration import registry

    if ENV_ID not in registry:
        add(ENV_ID, entry_point="eenn_envs.single:EENNEnv", vector_entry_point="eenn_envs.vector:EENNVectorEnv")


class _AfterGymnasium(MetaPathFinder):
    """Registers the environment the moment somebody imports gymnasium, then is gone."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "gymnasium":
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(fullname, path, target)
        loader = spec.loader if spec else None
        if spec is None or loader is None:
            return None
        execute = loader.exec_module

        def execute_and_register(module: ModuleType) -> None:
            execute(module)
            register()

        loader.exec_module = execute_and_register  # type: ignore[method-assign]
        return spec


def register_when_imported() -> None:
    """Register now if gymnasium is loaded, or else as soon as it is: importing it here would cost those who never do.

    Gymnasium 1.0 dropped its entry-point plugins, so an installed package that wants to be found by name alone must
    be asked at start-up: the distribution's ``eenn_envs.pth`` imports `eenn_envs`, which calls this.
    """
    if "gymnasium" in sys.modules:
        register()
    elif not any(isinstance(finder, _AfterGymnasium) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterGymnasium())
