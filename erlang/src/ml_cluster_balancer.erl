%% @doc Which worker gets a call. Pure: a choice is a function of the snapshot, of what was tried
%% already, and of numbers that the caller draws.
%%
%% `round_robin' takes the ticket's turn. `least_loaded' is the power of two choices (Mitzenmacher,
%% 2001): of two workers drawn at random the one that is done sooner, which avoids the herd that
%% runs to the single least loaded worker; of two idle ones the faster is taken more often, in
%% proportion. `consistent' is rendezvous hashing with bounded loads (Mirrokni, Thorup and
%% Zadimoghaddam, 2017): the owner of the key, unless that has more than its share in flight.
-module(ml_cluster_balancer).

-export([snapshot/4, restrict/2, choose/2, owner/2, hash/1, bound/2]).
-export_type([strategy/0, question/0]).

-include("ml_cluster.hrl").

-type strategy() :: round_robin | least_loaded | consistent.
%% `tried': nodes not to be asked again. `draw': the round robin's ticket, else a random number of 32
%% bits. `key': hash of what is asked for. `cost_of': time until the worker is done with what it has.
%% `pace_of': time that it takes for a unit of work. `in_flight_of': calls sent to the worker,
%% `in_flight': to all of them. `prefer': the node to take if it can be taken.
-type question() :: #{
    strategy := strategy(),
    tried := [node()],
    draw := non_neg_integer(),
    key := non_neg_integer(),
    cost_of := fun((#member{}) -> number()),
    pace_of := fun((#member{}) -> number()),
    in_flight_of := fun((#member{}) -> integer()),
    in_flight := integer(),
    prefer := node() | none
}.

%% A worker holds at most this many times the average number of calls before its keys go on.
-define(BOUND, 1.25).
%% So many calls at once are no burden to a worker, whatever the average is.
-define(FLOOR, 4).
%% Where a key goes on to is drawn by hashing it anew, so often; then all are looked at.
-define(HOPS, 8).

%% ---- Snapshots ----

%% @doc The snapshot of these workers, made out of the one before.
-spec snapshot([#member{}], [#member{}], strategy(), #snapshot{}) -> #snapshot{}.
snapshot(Remote, Local, Strategy, Before) ->
    #snapshot{
        remote = list_to_tuple(Remote),
        local = list_to_tuple(Local),
        by_node = maps:from_list([{Node, M} || #member{node = Node} = M <- Remote]),
        owners = owners(Strategy, [Node || #member{node = Node} <- Remote], Before)
    }.

owners(consistent, Nodes, #snapshot{owners = Owners, by_node = Before}) ->
    Old = [Node || {Node, _} <- lists:sort(maps:to_list(Before)), Owners =/= {}],
    ml_cluster_rendezvous:update(Owners, Old, lists:sort(Nodes));
owners(_, _, _) ->
    {}.

%% @doc The workers of the snapshot that may be asked.
-spec restrict([node()], #snapshot{}) -> #snapshot{}.
restrict(Nodes, #snapshot{remote = Remote, local = Local}) ->
    snapshot(among(Nodes, Remote), among(Nodes, Local), round_robin, #snapshot{}).

among(Nodes, Members) ->
    [M || #member{node = Node} = M <- tuple_to_list(Members), lists:member(Node, Nodes)].

%% ---- Choosing ----

%% @doc The worker to ask: a remote one, else the local one, else `none'.
-spec choose(question(), #snapshot{}) -> {ok, #member{}} | none.
choose(#{prefer := Node, tried := Tried} = Question, #snapshot{by_node = ByNode} = Snapshot) ->
    case lists:member(Node, Tried) orelse maps:find(Node, ByNode) of
        {ok, _} = Preferred -> Preferred;
        _ -> by_strategy(Question, Snapshot)
    end.

by_strategy(#{strategy := consistent} = Question, #snapshot{remote = Remote} = Snapshot) when
    Remote =/= {}
->
    else_local(consistent(Question, Snapshot), Question, Snapshot);
by_strategy(#{tried := Tried} = Question, #snapshot{remote = Remote} = Snapshot) ->
    else_local(pick(Question, untried(Tried, Remote)), Question, Snapshot).

else_local(none, #{tried := Tried}, #snapshot{local = Local}) ->
    case untried(Tried, Local) of
        {} -> none;
        Left -> {ok, element(1, Left)}
    end;
else_local(Found, _, _) ->
    Found.

%% Nothing was tried in nearly all questions: the tuple is used as it is, without a copy.
untried([], Members) ->
    Members;
untried(Tried, Members) ->
    list_to_tuple([M || M <- tuple_to_list(Members), not lists:member(M#member.node, Tried)]).

pick(_, {}) ->
    none;
pick(_, {Only}) ->
    {ok, Only};
pick(#{strategy := round_robin, draw := Ticket}, Members) ->
    {ok, element(1 + Ticket rem tuple_size(Members), Members)};
pick(#{strategy := least_loaded, draw := Draw} = Question, Members) ->
    Size = tuple_size(Members),
    I = Draw rem Size,
    %% The second is drawn from the others, so that two different workers are compared.
    J = (I + 1 + Draw div Size rem (Size - 1)) rem Size,
    {ok, sooner(element(1 + I, Members), element(1 + J, Members), Question)}.

sooner(First, Second, #{cost_of := CostOf} = Question) ->
    case {CostOf(First), CostOf(Second)} of
        {Same, Same} -> by_pace(First, Second, Question);
        {A, B} when A < B -> First;
        _ -> Second
    end.

%% The first in proportion to the time that the second takes.
by_pace(First, Second, #{pace_of := PaceOf, draw := Draw}) ->
    {A, B} = {PaceOf(First), PaceOf(Second)},
    case erlang:phash2(Draw, 1 bsl 27) * (A + B) < B * (1 bsl 27) of
        true -> First;
        false -> Second
    end.

%% ---- Consistent ----

consistent(#{key := Key, in_flight := Total} = Question, #snapshot{by_node = ByNode} = Snapshot) ->
    Bound = bound(Total, map_size(ByNode)),
    case hop(Key, ?HOPS, Bound, Question, Snapshot) of
        none -> ranked(Bound, Question, Snapshot);
        Found -> Found
    end.

hop(_, 0, _, _, _) ->
    none;
hop(_, _, _, _, #snapshot{owners = {}}) ->
    none;
hop(Key, Hops, Bound, Question, #snapshot{by_node = ByNode, owners = Owners} = Snapshot) ->
    Member = maps:get(ml_cluster_rendezvous:owner(Key, Owners), ByNode),
    case is_free(Member, Bound, Question) of
        true -> {ok, Member};
        false -> hop(hash(Key + Hops), Hops - 1, Bound, Question, Snapshot)
    end.

is_free(#member{node = Node} = Member, Bound, #{tried := Tried, in_flight_of := InFlightOf}) ->
    not lists:member(Node, Tried) andalso InFlightOf(Member) < Bound.

%% The first in the key's own order that is free, else the first that may be asked at all.
ranked(Bound, #{key := Key, tried := Tried} = Question, #snapshot{by_node = ByNode}) ->
    Members = [
        maps:get(Node, ByNode)
     || Node <- ml_cluster_rendezvous:rank(Key, maps:keys(ByNode) -- Tried)
    ],
    case {[M || M <- Members, is_free(M, Bound, Question)], Members} of
        {[Free | _], _} -> {ok, Free};
        {[], [Owner | _]} -> {ok, Owner};
        {[], []} -> none
    end.

%% @doc How many calls a worker may have in flight to be given one more. At least one of them has
%% fewer, for the call that is being placed counts too.
-spec bound(integer(), pos_integer()) -> pos_integer().
bound(InFlight, Workers) -> max(?FLOOR, ceil(?BOUND * (InFlight + 1) / Workers)).

%% @doc The worker that a key belongs to while none is over its share. There must be one.
-spec owner(non_neg_integer(), #snapshot{}) -> node().
owner(Key, #snapshot{owners = {}, by_node = ByNode}) ->
    hd(ml_cluster_rendezvous:rank(Key, maps:keys(ByNode)));
owner(Key, #snapshot{owners = Owners}) ->
    ml_cluster_rendezvous:owner(Key, Owners).

%% @doc The key of a text in the consistent strategy.
-spec hash(term()) -> non_neg_integer().
hash(Term) -> erlang:phash2(Term, 1 bsl 32).
