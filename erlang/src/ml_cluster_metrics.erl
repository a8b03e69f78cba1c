%% @doc Counters of the front, on `counters' and `atomics': raised without a process, read without
%% stopping anybody.
-module(ml_cluster_metrics).

-export([init/0, count/1, count/2, get/1, ticket/0, tickets/0, is_due/2, attempts/1, outcomes/0]).
-export([begun/0, ended/0, in_flight/0]).
-export_type([counter/0]).

-type counter() :: total | distributed | local_fallback | errors | texts | cached.

-define(OUTCOMES, [answered, rejected, refused, failed, late, cancelled]).
-define(TURNS, 1).
-define(EVENT_FAILURE, 2).
-define(IN_FLIGHT, 3).
-define(CONNECTIONS_TAKEN, 4).
-define(COUNTERS, [total, distributed, local_fallback, errors, texts, cached]).
-record(metrics, {
    counters :: counters:counters_ref(),
    atomics :: atomics:atomics_ref()
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
        atomics = atomics:new(4, [])
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
ticket() -> atomics:add_get((metrics())#metrics.atomics, ?TURNS, 1).

%% @doc How many turns were taken.
-spec tickets() -> non_neg_integer().
tickets() -> atomics:get((metrics())#metrics.atomics, ?TURNS).

%% @doc One call more is on its way to some worker.
-spec begun() -> ok.
begun() -> atomics:add((metrics())#metrics.atomics, ?IN_FLIGHT, 1).

-spec ended() -> ok.
ended() -> atomics:sub((metrics())#metrics.atomics, ?IN_FLIGHT, 1).

%% @doc Calls on their way to all workers together.
-spec in_flight() -> integer().
in_flight() -> atomics:get((metrics())#metrics.atomics, ?IN_FLIGHT).

%% @doc True for one of those who ask within so many milliseconds.
-spec is_due(event_failure | connections_taken, pos_integer()) -> boolean().
is_due(What, Every) ->
    #metrics{atomics = Atomics} = metrics(),
    Index = told(What),
    Now = erlang:system_time(millisecond),
    Last = atomics:get(Atomics, Index),
    Now - Last >= Every andalso atomics:compare_exchange(Atomics, Index, Last, Now) =:= ok.

%% Where it stands when that was told last.
told(event_failure) -> ?EVENT_FAILURE;
told(connections_taken) -> ?CONNECTIONS_TAKEN.

%% @doc The keys of attempts/1.
-spec outcomes() -> [ml_cluster_failure:outcome()].
outcomes() -> ?OUTCOMES.

%% @doc How many attempts with a worker ended in each way.
-spec attempts(node()) -> #{ml_cluster_failure:outcome() => non_neg_integer()}.
attempts(Node) ->
    maps:from_list([
        {Outcome, ml_cluster_histogram:total(worker_request, [{worker, Node}, {outcome, Outcome}])}
     || Outcome <- ?OUTCOMES
    ]).

index(Name, [Name | _]) -> 1;
index(Name, [_ | Rest]) -> 1 + index(Name, Rest).
