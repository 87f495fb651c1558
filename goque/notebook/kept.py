"""What a saved notebook keeps beside a live widget, so that a reader sees one of them. Not for: what it says.

HTML of an output is saved, and a widget is not; but a widget goes on after the page was loaded again, when the HTML
cannot be renewed any more. So a cell has both. While there is something to follow the widget hides the HTML; what has
ended hides the text of the widget. Style sheets do it, which work only where their output is: without a kernel there is
no widget, hence the HTML is seen, and front ends that strip style sheets show no widgets either.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

# Of a widget that died with its kernel JupyterLab says "model not found", and there is what was kept instead.
_LOST = (
    "<style>.jp-OutputArea-child:has(.goque-kept) ~ .jp-OutputArea-child "
    "> .jp-OutputArea-output.jupyter-widgets:not(:has(*)) {display: none}</style>"
)


@dataclass(frozen=True, slots=True)
class Kept:
    """A pair of HTML and widget of which one hides the other, told from other pairs by its name."""

    name: str = field(default_factory=lambda: f"goque-{secrets.token_hex(4)}")

    @property
    def live(self) -> str:
        """The class of those widgets that say what the HTML says."""
        return f"{self.name}-live"

    @property
    def hiding(self) -> str:
        """What the widget has in it to hide the HTML."""
        return f"<style>.{self.name}:not(.goque-ended) {{display: none}}</style>"

    def text(self, markup: str, ended: bool) -> str:
        """HTML that is hidden by the widget, or, once all has ended, hides what the widget says."""
        if not markup:
            return ""
        state = " goque-ended" if ended else ""
        over = f"<style>.{self.live} {{display: none}}</style>" if ended else ""
        return f'<div class="goque-kept {self.name}{state}">{_LOST}{over}{markup}</div>'
