"""`agentmem config show`."""

from __future__ import annotations

import typer

from agentmem.cli.options import Json, out, out_json

group = typer.Typer(help="Show the settings and where each comes from.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="config")


@group.callback()
def config() -> None:
    """Settings are built in, then read from the user's file, the environment and the flags; the last wins."""


@group.command()
def show(json: Json = False) -> None:
    """Show each setting, its value and where it comes from."""
    from agentmem.settings import config_path, home, load

    loaded = load({})
    values = loaded.settings.model_dump()
    places = {"home": str(home()), "config_file": str(config_path())}
    if json:
        settings = {key: {"value": value, "origin": loaded.origins[key]} for key, value in values.items()}
        out_json({**places, "settings": settings})
        return
    width = max(map(len, values))
    for key, value in values.items():
        shown = "-" if value is None else str(value)
        out(f"{key:{width}}  {shown:12}  {loaded.origins[key]}")
    out(f"\nUser file: {places['config_file']}\nHome:      {places['home']}")
