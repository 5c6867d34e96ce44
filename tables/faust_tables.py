"""Faust's manager of tables, started at once: ``App(TableManager=PromptTableManager)``."""

from faust.tables.manager import TableManager


class PromptTableManager(TableManager):
    """All tables are declared before it starts: nothing is to be waited for."""

    async def on_start(self) -> None:
        """Without the second that Faust waits here."""
        if not self.should_stop:
            await self._update_channels()
            await self.recovery.start()
