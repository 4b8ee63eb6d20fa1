"""check_search: what a search would refuse when it begins, refused before anything is trained for it; begun_with."""

from eenn_agents.policy_file import policy_for
from eenn_agents.registry import agent_maker, uses_no_policy
from eenn_agents.simple import check_budget
from eenn_envs.layout import layout_for
from eenn_rl.errors import InvalidValueError
from eenn_rl.search import AgentSettings
from eenn_rl.space import SearchSpace


def check_search(settings: AgentSettings, space: SearchSpace) -> None:
    """Raise `EennError` for an agent, policy or budget that cannot search `space`."""
    name, policy = settings.agent, settings.policy
    agent_maker(name)
    if uses_no_policy(name) and policy not in (None, "untrained"):
        raise InvalidValueError(
            f"--policy {policy}: expected agent ppo, which starts from a policy, found agent {name}, which uses none: "
            f"leave out --policy, or --agent {name}"
        )
    if name == "ppo":
        policy_for(policy, layout_for(space), space.backbone.name)
    if name == "exhaustive":
        check_budget(space, settings.budget)


def begun_with(settings: AgentSettings, space: SearchSpace) -> str | None:
    """Which policy a search of `space` begins with: `shipped`, `untrained`, or a file; None for an agent without.

    Of agents that are not ours, what they are told to begin with.
    """
    if uses_no_policy(settings.agent):
        return None
    if settings.policy is not None or settings.agent != "ppo":
        return settings.policy
    found = policy_for(None, layout_for(space), space.backbone.name)
    return "untrained" if found is None else "shipped"
