"""The acting network: what it decides about an allocation follows from that allocation's features alone.

Every allocation's part of the observation goes through one encoder; a decision for an allocation is the product of
its encoding with a query that the rest of the network makes (pointer networks: Vinyals et al. 2015, arXiv 1506.03134).
So what was learned about one slot holds for all, and a policy transfers to machines with other cores in other order.
Where the observation holds prospects, blocks are pointed at in the same way: each is judged by what exits could do
there on the tables at hand, so that one policy serves several data sets.
"""

from typing import Any

import torch
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from stable_baselines3.common.type_aliases import Schedule
from torch import nn

from eenn_envs.layout import CORE, Layout

HIDDEN, KEY, BLOCK_KEY = 192, 64, 32
SMALL = 0.1
"""Scale of the last weights before training: proposals begin nearly uniform."""


class Actor(nn.Module):
    """Observations [n, observation] -> logits [n, actions]; to stable-baselines3 its latent actor, with a critic."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self._layout = layout
        own = layout.slices["allocations"]
        per_slot = (own.stop - own.start) // layout.allocations + 2 * layout.exits
        prospects = layout.slices["prospects"]
        context = layout.slices["preference"].stop - (own.stop - own.start) + 2 * KEY
        context -= 2 * layout.exits * layout.allocations
        context += layout.prospects * (layout.exits + 1) * BLOCK_KEY
        self.encoder = nn.Sequential(nn.Linear(per_slot, KEY), nn.Tanh(), nn.Linear(KEY, KEY), nn.Tanh())
        self.trunk = nn.Sequential(nn.Linear(context, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, HIDDEN), nn.Tanh())
        self.choices = nn.Linear(HIDDEN, layout.starts[CORE])
        self.queries = nn.Linear(HIDDEN, 2 * KEY)
        self.critic = nn.Sequential(nn.Linear(layout.observations, 16), nn.Tanh())
        self.latent_dim_pi, self.latent_dim_vf = layout.actions, 16
        if layout.prospects:
            per_block = (prospects.stop - prospects.start) // layout.blocks
            self.block_encoder = nn.Sequential(nn.Linear(per_block, KEY), nn.Tanh(), nn.Linear(KEY, BLOCK_KEY))
            self.block_embedding = nn.Parameter(torch.zeros(layout.blocks, BLOCK_KEY))
            self.block_query = nn.Linear(HIDDEN, BLOCK_KEY)

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits and the critic's latent values."""
        return self.forward_actor(features), self.forward_critic(features)

    def forward_actor(self, features: torch.Tensor) -> torch.Tensor:
        """Logits of all actions, legal or not."""
        layout, n = self._layout, len(features)
        own, exits = layout.slices["allocations"], layout.slices["exits"]
        chosen = features[:, exits].reshape(n, layout.exits, layout.actions)
        cores = chosen[:, :, layout.starts[CORE] :].reshape(n, 2 * layout.exits, layout.allocations)
        offered = features[:, own].reshape(n, layout.allocations, -1)
        keys = self.encoder(torch.cat([offered, cores.transpose(1, 2)], dim=2))
        present = offered[:, :, :1]
        mean = (keys * present).sum(1) / present.sum(1).clamp(min=1)
        most = torch.where(present > 0, keys, -1.0).amax(1)
        rest = chosen[:, :, : layout.starts[CORE]].reshape(n, -1)
        preference = features[:, own.stop : layout.slices["preference"].stop]
        known = [features[:, : exits.start], rest, features[:, exits.stop : own.start], preference]
        block_keys = self._block_keys(features) if layout.prospects else None
        if block_keys is not None:
            taken = torch.einsum("neb,nbk->nek", chosen[:, :, : layout.blocks], block_keys)
            known += [taken.reshape(n, -1), block_keys.mean(1)]
        hidden = self.trunk(torch.cat([*known, mean, most], dim=1))
        queries = self.queries(hidden).reshape(n, 2, KEY)
        pointed = torch.einsum("nqk,nak->nqa", queries, keys).reshape(n, -1)
        choices = self.choices(hidden)
        if block_keys is not None:
            located = torch.einsum("nk,nbk->nb", self.block_query(hidden), block_keys)
            choices = choices + nn.functional.pad(located, (0, layout.starts[CORE] - layout.blocks))
        return torch.cat([choices, pointed], dim=1)

    def _block_keys(self, features: torch.Tensor) -> torch.Tensor:
        """What is to be known of each block, [n, blocks, BLOCK_KEY]: its prospects encoded, and the block itself."""
        own = features[:, self._layout.slices["prospects"]].reshape(len(features), self._layout.blocks, -1)
        return torch.tanh(self.block_encoder(own) + self.block_embedding)

    def forward_critic(self, features: torch.Tensor) -> torch.Tensor:
        """What the value network looks at; updates on whole episodes do without it."""
        values: torch.Tensor = self.critic(features)
        return values


class PointerPolicy(MaskableActorCriticPolicy):
    """sb3-contrib's maskable policy around `Actor`; `layout` says what the observation's parts are."""

    def __init__(self, *arguments: Any, layout: Layout, **options: Any) -> None:
        self._layout = layout
        super().__init__(*arguments, **options)

    def _build_mlp_extractor(self) -> None:
        self.mlp_extractor = Actor(self._layout)  # type: ignore[assignment]

    def _build(self, lr_schedule: Schedule) -> None:
        super()._build(lr_schedule)
        self.action_net = nn.Identity()  # the actor's answers are logits already
        with torch.no_grad():
            for name in ("choices", "queries", "block_query"):
                if hasattr(self.mlp_extractor, name):
                    getattr(self.mlp_extractor, name).weight.mul_(SMALL)
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)  # type: ignore[call-arg]

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), "layout": self._layout}
