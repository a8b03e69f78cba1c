%% @doc The front as a program: what `erl -s ml_cluster_main' runs in a node that is nothing else.
%% Where it cannot start it says why on standard error and ends the node with a status of
%% sysexits.h, as the worker does, instead of a crash dump.
-module(ml_cluster_main).

-export([start/0, check/0]).

-define(EX_USAGE, 64).
-define(EX_SOFTWARE, 70).

%% @doc Starts the application; the node ends when it does.
-spec start() -> ok | no_return().
start() ->
    case application:ensure_all_started(ml_cluster, permanent) of
        {ok, _} -> ok;
        {error, {ml_cluster, {Reason, _}}} -> wrong(Reason);
        {error, Reason} -> failed(Reason)
    end.

%% @doc Reads the configuration, says whether it is right, and ends the node.
-spec check() -> no_return().
check() ->
    _ = application:load(ml_cluster),
    case ml_cluster_app:check() of
        {ok, _} ->
            io:format("the configuration is right~n"),
            halt(0);
        {error, Reason} ->
            wrong(Reason)
    end.

-spec wrong(term()) -> no_return().
wrong({bad_config, _, _, _} = Reason) -> stop(?EX_USAGE, ml_cluster_app:explain(Reason));
wrong(not_distributed) -> stop(?EX_USAGE, ml_cluster_app:explain(not_distributed));
wrong(Reason) -> failed(Reason).

-spec failed(term()) -> no_return().
failed(Reason) -> stop(?EX_SOFTWARE, io_lib:format("~0tp", [Reason])).

-spec stop(1..255, iodata()) -> no_return().
stop(Status, Why) ->
    io:format(standard_error, "ml_cluster does not start: ~ts~n", [Why]),
    halt(Status).
