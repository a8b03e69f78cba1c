%% @doc Counters of the front, on `counters' and `atomics': raised without a process, read without
%% stopping anybody.
-module(ml_cluster_metrics).

-export([init/0, count/1, count/2, get/1, ticket/0, tickets/0]).
-export_type([counter/0]).

-type counter() :: total | distributed | local_fallback | errors | texts | cached.

-define(COUNTERS, [total, distributed, local_fallback, errors, texts, cached]).
-record(metrics, {
    counters :: counters:counters_ref(),
    turns :: atomics:atomics_ref()
}).

%% @doc Makes the counters, once: they outlast a restart of the application.
-spec init() -> ok.
init() ->
    case persistent_term:get(?MODULE, none) of
        none -> persistent_term:put(?MODULE, new());
        _ -> ok
    end.

new() ->
    #metrics{
        counters = counters:new(length(?COUNTERS), [write_concurrency]),
        turns = atomics:new(1, [{signed, false}])
    }.

metrics() -> persistent_term:get(?MODULE).

-spec count(counter()) -> ok.
count(Counter) -> count(Counter, 1).

-spec count(counter(), non_neg_integer()) -> ok.
count(Counter, By) ->
    counters:add((metrics())#metrics.counters, index(Counter, ?COUNTERS), By).

-spec get(counter()) -> non_neg_integer().
get(Counter) -> counters:get((metrics())#metrics.counters, index(Counter, ?COUNTERS)).

%% @doc The next turn of the round robin.
-spec ticket() -> non_neg_integer().
ticket() -> atomics:add_get((metrics())#metrics.turns, 1, 1).

%% @doc How many turns were taken.
-spec tickets() -> non_neg_integer().
tickets() -> atomics:get((metrics())#metrics.turns, 1).

index(Name, [Name | _]) -> 1;
index(Name, [_ | Rest]) -> 1 + index(Name, Rest).
