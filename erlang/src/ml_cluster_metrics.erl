%% @doc Counters of the front, on `counters' and `atomics': raised without a process, read without
%% stopping anybody.
-module(ml_cluster_metrics).

-export([init/0, count/1, count/2, get/1, ticket/0, tickets/0]).
-export([observe/3, histograms/0, bounds/0, responses/0]).
-export_type([counter/0, route/0]).

-type counter() :: total | distributed | local_fallback | errors | texts | cached.
-type route() :: binary().

-define(COUNTERS, [total, distributed, local_fallback, errors, texts, cached]).
-define(CLASSES, 5).
%% Seconds; one more bucket takes the rest.
-define(BOUNDS, [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0
]).

-record(metrics, {
    counters :: counters:counters_ref(),
    turns :: atomics:atomics_ref(),
    routes :: #{route() => counters:counters_ref()}
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
        turns = atomics:new(1, [{signed, false}]),
        routes = maps:from_list([
            {Route, counters:new(2 + length(?BOUNDS) + ?CLASSES, [write_concurrency])}
         || Route <- [<<"other">> | ml_cluster_http:routes()]
        ])
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

%% @doc Counts an HTTP request: its route (an unknown path counts as `other': labels are bounded),
%% status, and duration in microseconds.
-spec observe(route(), 100..599, non_neg_integer()) -> ok.
observe(Route, Status, Microseconds) ->
    #metrics{routes = #{<<"other">> := Other} = Routes} = metrics(),
    Counters = maps:get(Route, Routes, Other),
    ok = counters:add(Counters, bucket(Microseconds / 1.0e6, ?BOUNDS, 1), 1),
    ok = counters:add(Counters, class_index(Status div 100), 1),
    counters:add(Counters, sum_index(), Microseconds).

bucket(Seconds, [Bound | Rest], Index) when Seconds > Bound -> bucket(Seconds, Rest, Index + 1);
bucket(_, _, Index) -> Index.

sum_index() -> length(?BOUNDS) + 2.
class_index(Class) -> sum_index() + Class.

%% @doc By route: the counts of the buckets (the last one has no bound) and the sum in seconds.
-spec histograms() -> #{route() => {[non_neg_integer()], float()}}.
histograms() ->
    maps:map(
        fun(_, Counters) ->
            Buckets = [counters:get(Counters, I) || I <- lists:seq(1, length(?BOUNDS) + 1)],
            {Buckets, counters:get(Counters, sum_index()) / 1.0e6}
        end,
        (metrics())#metrics.routes
    ).

%% @doc By route: how many responses of each class (1xx, 2xx, …).
-spec responses() -> #{route() => [{1..5, non_neg_integer()}]}.
responses() ->
    maps:map(
        fun(_, Counters) ->
            [{Class, counters:get(Counters, class_index(Class))} || Class <- lists:seq(1, ?CLASSES)]
        end,
        (metrics())#metrics.routes
    ).

%% @doc Upper bounds of the buckets, in seconds.
-spec bounds() -> [float()].
bounds() -> ?BOUNDS.

index(Name, [Name | _]) -> 1;
index(Name, [_ | Rest]) -> 1 + index(Name, Rest).
