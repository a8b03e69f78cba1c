%% @doc Rendezvous hashing (Thaler and Ravishankar, 1998) over a fixed number of buckets: a key falls
%% into a bucket, and a bucket belongs to the node with the highest weight for it. So a node that
%% goes moves only its own keys, and one that comes takes only those that it keeps. The owners stand
%% in a tuple, which a coming or going node changes bucket by bucket: finding an owner costs the same
%% for three nodes and for a hundred. Pure.
-module(ml_cluster_rendezvous).

-export([update/3, owner/2, rank/2]).
-export_type([owners/0]).

%% `{}' while there is no node.
-type owners() :: tuple().

-define(BUCKETS, 16384).

%% @doc The owners after a change of the nodes; of no nodes they are {}.
-spec update(owners(), Old :: [node()], New :: [node()]) -> owners().
update(Owners, Nodes, Nodes) ->
    Owners;
update(_, _, []) ->
    {};
update(Owners, Old, New) ->
    case Old -- (Old -- New) of
        [] -> taken_by(New, lists:duplicate(?BUCKETS, none));
        Stayed -> taken_by(New -- Old, left(Owners, Old -- New, Stayed))
    end.

%% Only the buckets of those that went get new owners.
left(Owners, [], _) ->
    tuple_to_list(Owners);
left(Owners, Gone, Stayed) ->
    Homeless = maps:from_list([{Node, []} || Node <- Gone]),
    each_bucket(
        fun(Bucket, Owner) when is_map_key(Owner, Homeless) -> best(Bucket, none, Stayed);
           (_, Owner) -> Owner
        end,
        tuple_to_list(Owners)
    ).

taken_by([], Owners) ->
    list_to_tuple(Owners);
taken_by(Came, Owners) ->
    list_to_tuple(each_bucket(fun(Bucket, Owner) -> best(Bucket, Owner, Came) end, Owners)).

each_bucket(Fun, Owners) ->
    lists:zipwith(Fun, lists:seq(0, ?BUCKETS - 1), Owners).

best(Bucket, none, [First | Rest]) ->
    best(Bucket, First, Rest);
best(Bucket, Owner, Nodes) ->
    {_, Best} = lists:max([{weight(Bucket, Node), Node} || Node <- [Owner | Nodes]]),
    Best.

%% @doc The node that a key belongs to.
-spec owner(non_neg_integer(), owners()) -> node().
owner(Key, Owners) -> element(1 + Key rem ?BUCKETS, Owners).

%% @doc The nodes, the one that the key belongs to first, then those that it would move to.
-spec rank(non_neg_integer(), [node()]) -> [node()].
rank(Key, Nodes) ->
    Bucket = Key rem ?BUCKETS,
    Weighed = lists:sort([{weight(Bucket, Node), Node} || Node <- Nodes]),
    lists:reverse([Node || {_, Node} <- Weighed]).

weight(Bucket, Node) -> erlang:phash2({Bucket, Node}, 1 bsl 27).
