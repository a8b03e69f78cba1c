%% @doc One answer, one model: what computed the parts of an answer, and what to do where they
%% differ. Pure.
%%
%% A kind is the `model_id' of a part and its `numerics'; the latter only where answers must not mix
%% them. A worker that tells no fingerprint is of a kind of its own.
-module(ml_cluster_kinds).

-export([plan/3, kind/2, numerics/1]).
-export_type([kind/0, part/0, plan/0]).

-type kind() :: {ModelId :: term(), Numerics :: term()}.
-type part() :: {ml_cluster_split:piece(), Reply :: map(), node()}.
%% `recompute': the pieces on the nodes that have answered with Kind; the other parts are kept.
-type plan() ::
    agreed
    | {recompute, kind(), [ml_cluster_split:piece()], [node()], Kept :: [part()]}
    | none_left.

%% @doc What is missing for an answer of one kind: what is not of the most common one, those that
%% were tried in vain left out.
-spec plan([part()], Mix :: boolean(), Barred :: [kind()]) -> plan().
plan(Parts, Mix, Barred) ->
    case by_size(Parts, Mix) of
        [_] -> agreed;
        Kinds -> recompute([Kind || Kind <- Kinds, not lists:member(Kind, Barred)], Parts, Mix)
    end.

recompute([], _, _) ->
    none_left;
recompute([Kind | _], Parts, Mix) ->
    {Kept, Others} = lists:partition(fun({_, Reply, _}) -> kind(Reply, Mix) =:= Kind end, Parts),
    Nodes = lists:usort([Node || {_, _, Node} <- Kept]),
    {recompute, Kind, [maps:remove(prefer, Piece) || {Piece, _, _} <- Others], Nodes, Kept}.

%% The kinds, that of the most texts first.
by_size(Parts, Mix) ->
    Counts = lists:foldl(
        fun({#{texts := Texts}, Reply, _}, Acc) ->
            Count = length(Texts),
            maps:update_with(kind(Reply, Mix), fun(N) -> N + Count end, Count, Acc)
        end,
        #{},
        Parts
    ),
    [Kind || {_, Kind} <- lists:reverse(lists:sort([{N, K} || {K, N} <- maps:to_list(Counts)]))].

%% @doc Which answers may stand side by side: those of one kind.
-spec kind(Reply :: map(), Mix :: boolean()) -> kind().
kind(Reply, true) -> {maps:get(model_id, Reply, none), any};
kind(Reply, false) -> {maps:get(model_id, Reply, none), maps:get(numerics, Reply, none)}.

%% @doc The numerics of an answer: a list where several were allowed to mix.
-spec numerics([Reply :: map()]) -> #{numerics => binary() | [binary()]}.
numerics(Replies) ->
    case lists:usort([Numerics || #{numerics := Numerics} <- Replies]) of
        [] -> #{};
        [Numerics] -> #{numerics => Numerics};
        Several -> #{numerics => Several}
    end.
