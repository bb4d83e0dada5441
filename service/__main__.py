"""`python -m service`: reads the settings and serves."""


def main() -> int:
    """Return the exit status: 0 after a drain, 2 for settings, a store or an address that will not do."""
    # Imported here, because a spawned worker imports this module again and needs none of it.
    import asyncio
    import os
    import sys

    from config.command_line import describe, finish, parser, read_layers
    from config.load import ConfigError
    from config.logs import set_up

    flags = parser().parse_args()
    try:
        layers = read_layers(flags, os.environ)
        settings = finish(layers)
        if flags.print_config:
            sys.stdout.write(describe(layers) + "\n")
            return 0
    except ConfigError as error:
        sys.stderr.write(f"sluice: {error}\n")
        return 2
    set_up(settings.log)

    import uvloop

    from service.serve import serve
    from service.stores.store import StoreError

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(settings))
    except StoreError as error:
        sys.stderr.write(f"sluice: {error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"sluice: cannot listen on {settings.http.host}:{settings.http.port}: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
