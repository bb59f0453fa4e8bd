"""Across the seven levels: corrects each level's evidence by its neighbours', and predicts for the patient."""

import torch
from torch import Tensor, nn

from common.labels import LEVELS
from stage2_classify.networks.blocks import to_logit
from stage2_classify.settings import NetworkSettings

LEVEL_CODE = 8
"""Numbers that say which level it is."""


class SequenceHead(nn.Module):
    """Embeddings (B, 7, E), evidence (B, 7), present (B, 7) -> logits (B, 8).

    Level: prior + scaled evidence + a correction from a bidirectional GRU over the levels. Patient: the levels'
    joint evidence (log-sum-exp) + a correction from all levels. Both corrections start at 0, and are left out with
    `network.head` alone. A level that isn't present gets its prior.
    """

    def __init__(self, settings: NetworkSettings, prior: Tensor) -> None:
        super().__init__()
        self.prior: Tensor
        self.register_buffer("prior", prior)
        self.scale = nn.Parameter(torch.ones(2))
        self.level_offset = nn.Parameter(to_logit(prior[:7]))
        joint = torch.logsumexp(to_logit(prior[:7]), dim=0)
        self.overall_offset = nn.Parameter(to_logit(prior[7]) - joint)
        self.corrects = settings.head == "recurrent"
        if not self.corrects:
            return
        hidden = settings.hidden
        self.level_code = nn.Parameter(0.5 * torch.randn(len(LEVELS), LEVEL_CODE))
        self.dropout = nn.Dropout(settings.dropout)
        self.recurrent = nn.GRU(settings.embedding + 2 + LEVEL_CODE, hidden, batch_first=True, bidirectional=True)
        self.level_correction = nn.Linear(2 * hidden, 1)
        self.overall_correction = nn.Linear(4 * hidden, 1)
        for layer in (self.level_correction, self.overall_correction):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, embedding: Tensor, evidence: Tensor, present: Tensor) -> Tensor:
        level, overall = self._corrections(embedding, evidence, present) if self.corrects else (0.0, 0.0)
        levels = self.level_offset + self.scale[0] * evidence + level
        levels = torch.where(present, levels, to_logit(self.prior[:7]))
        joint = torch.logsumexp(self.scale[1] * levels, dim=1) / self.scale[1]
        return torch.cat([levels, (joint + self.overall_offset + overall).unsqueeze(-1)], dim=1)

    def _corrections(self, embedding: Tensor, evidence: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 7) and (B,): what is added to the levels' logits and to the patient's."""
        seen = present.to(embedding.dtype).unsqueeze(-1)
        code = self.level_code.expand(len(embedding), -1, -1)
        x = torch.cat([self.dropout(embedding) * seen, evidence.unsqueeze(-1) * seen, seen, code], dim=-1)
        across, _ = self.recurrent(x)
        across = self.dropout(across)
        everything = torch.cat([across.mean(dim=1), across.amax(dim=1)], dim=-1)
        return self.level_correction(across).squeeze(-1), self.overall_correction(everything).squeeze(-1)
