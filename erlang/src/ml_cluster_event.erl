%% @doc Events in the shape of `telemetry', which need not be there: the configured handler is called
%% as `Handler(Name, Measurements, Metadata)', so `{events, {telemetry, execute}}' is all it takes to
%% hand them on. docs/API.md lists them.
%%
%% A handler runs in the process where the event happens. What it raises is logged, once a minute at
%% most, and harms nobody.
-module(ml_cluster_event).

-export([emit/2, emit/3]).
-export_type([handler/0]).

-type handler() :: {module(), atom()} | fun(([atom(), ...], map(), map()) -> term()).

-define(SILENCE_MS, 60000).

%% @doc Tells the handler, if there is one.
-spec emit([atom(), ...], map(), map()) -> ok.
emit(Name, Measurements, Metadata) -> emit(Name, fun() -> {Measurements, Metadata} end).

%% @doc As emit/3; measurements and metadata are made only for a handler.
-spec emit([atom(), ...], fun(() -> {Measurements :: map(), Metadata :: map()})) -> ok.
emit(Name, Event) ->
    case ml_cluster_config:get(events, none) of
        none ->
            ok;
        Handler ->
            {Measurements, Metadata} = Event(),
            guarded(Handler, [ml_cluster | Name], Measurements, Metadata)
    end.

guarded(Handler, Name, Measurements, Metadata) ->
    try call(Handler, Name, Measurements, Metadata) of
        _ -> ok
    catch
        Class:Reason -> failed(Name, Class, Reason)
    end.

call({Module, Function}, Name, Measurements, Metadata) ->
    Module:Function(Name, Measurements, Metadata);
call(Function, Name, Measurements, Metadata) ->
    Function(Name, Measurements, Metadata).

failed(Name, Class, Reason) ->
    case ml_cluster_metrics:is_due(event_failure, ?SILENCE_MS) of
        true ->
            ml_cluster_log:write(error, event_handler_failed, #{
                event => Name, class => Class, reason => Reason
            });
        false ->
            ok
    end.
