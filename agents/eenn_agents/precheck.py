"""check_search: what a search would refuse when it begins, refused before anything is trained for it."""

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
