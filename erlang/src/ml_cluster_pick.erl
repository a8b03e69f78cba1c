%% @doc The worker for a call: gathers what ml_cluster_balancer decides upon. No process is asked.
-module(ml_cluster_pick).

-export([worker/3, random/0]).

-include("ml_cluster.hrl").

%% @doc The worker to ask with a call of so many bytes. `full': there are workers, but the budget of
%% bytes of none leaves room for the call; while others have room it goes to those.
-spec worker(ml_cluster_call:job(), Tried :: [node()], non_neg_integer()) ->
    {ok, #member{}} | full | none.
worker(Job, Tried, Bytes) -> worker(Job, snapshot(Job), Tried, [], Bytes).

worker(#{budget := Budget} = Job, Snapshot, Tried, Full, Bytes) ->
    case ml_cluster_balancer:choose(question(Full ++ Tried, Job), Snapshot) of
        {ok, #member{role = local}} when Full =/= [] ->
            full;
        {ok, #member{node = Node, gauges = Gauges} = Member} ->
            case ml_cluster_gauges:has_room(Gauges, Bytes, Budget) of
                true -> {ok, Member};
                false -> worker(Job, Snapshot, Tried, [Node | Full], Bytes)
            end;
        none when Full =/= [] ->
            full;
        none ->
            none
    end.

snapshot(#{only := Nodes}) -> ml_cluster_balancer:restrict(Nodes, ml_cluster_table:snapshot());
snapshot(_) -> ml_cluster_table:snapshot().

question(Tried, #{strategy := Strategy, key := Key} = Job) ->
    Prefer = maps:get(prefer, Job, none),
    #{
        strategy => Strategy,
        tried => Tried,
        key => Key,
        prefer => Prefer,
        draw => draw(Strategy, Prefer),
        cost_of => fun cost_of/1,
        pace_of => fun pace_of/1,
        in_flight_of => fun in_flight_of/1,
        in_flight => in_flight(Strategy)
    }.

%% The other strategies do not look at it.
in_flight(consistent) -> ml_cluster_metrics:in_flight();
in_flight(_) -> 0.

%% Only a turn that is used is taken.
draw(round_robin, none) -> ml_cluster_metrics:ticket();
draw(consistent, _) -> 0;
draw(_, _) -> random().

%% @doc A number of 32 bits. A call's process lives for that call: a generator of random numbers would
%% be seeded for each.
-spec random() -> non_neg_integer().
random() -> erlang:phash2(erlang:unique_integer(), 1 bsl 32).

cost_of(#member{gauges = Gauges}) -> ml_cluster_gauges:cost(Gauges).
pace_of(#member{gauges = Gauges}) -> ml_cluster_gauges:pace(Gauges).
in_flight_of(#member{gauges = Gauges}) -> ml_cluster_gauges:in_flight(Gauges).
