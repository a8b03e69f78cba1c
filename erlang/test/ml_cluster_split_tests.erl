-module(ml_cluster_split_tests).
-include_lib("eunit/include/eunit.hrl").
-include("ml_cluster_proper.hrl").
-import(proper_types, [range/2, list/1, binary/0, non_empty/1]).

limits(Bytes, Count) -> #{piece_bytes => Bytes, piece_texts => Count}.

nothing_is_one_empty_piece_test() ->
    ?assertEqual([#{indices => [], texts => []}], ml_cluster_split:whole([], limits(10, 10))).

a_long_text_is_a_piece_of_its_own_test() ->
    Long = binary:copy(<<"x">>, 100),
    ?assertEqual(
        [
            #{indices => [1], texts => [<<"a">>]},
            #{indices => [2], texts => [Long]},
            #{indices => [3, 4], texts => [<<"b">>, "c"]}
        ],
        ml_cluster_split:whole([<<"a">>, Long, <<"b">>, "c"], limits(10, 10))
    ).

what_is_no_text_is_left_to_the_worker_test() ->
    ?assertMatch([#{texts := [7, [a | b]]}], ml_cluster_split:whole([7, [a | b]], limits(10, 10))).

even_uses_no_more_nodes_than_texts_test() ->
    ?assertEqual(
        [#{indices => [1], texts => [<<"a">>], prefer => n1}],
        ml_cluster_split:even([<<"a">>], [n1, n2], limits(10, 10))
    ),
    ?assertEqual([], ml_cluster_split:even([], [n1, n2], limits(10, 10))).

properties_test_() ->
    [
        {Name, ?_assert(proper:quickcheck(Property, [{numtests, 300}, quiet]))}
     || {Name, Property} <- [
            {"whole: joined in order, pieces bounded", prop_whole()},
            {"even: joined in order, shares even", prop_even()},
            {"by owner: joined in order, each text at its owner", prop_by_owner()}
        ]
    ].

joined(Pieces) ->
    %% The order in which workers finish must not matter.
    Shuffled = [P || {_, P} <- lists:sort([{erlang:phash2(P), P} || P <- Pieces])],
    ml_cluster_split:join([{Indices, Texts} || #{indices := Indices, texts := Texts} <- Shuffled]).

prop_whole() ->
    ?FORALL(
        {Texts, Bytes, Count},
        {list(binary()), range(1, 50), range(1, 10)},
        begin
            Pieces = ml_cluster_split:whole(Texts, limits(Bytes, Count)),
            joined(Pieces) =:= Texts andalso
                lists:all(
                    fun(#{texts := Piece}) ->
                        length(Piece) =< Count andalso
                            (length(Piece) =< 1 orelse iolist_size(Piece) =< Bytes)
                    end,
                    Pieces
                )
        end
    ).

prop_even() ->
    ?FORALL(
        {Texts, Nodes},
        {non_empty(list(binary())), range(1, 9)},
        begin
            Names = [list_to_atom("n" ++ integer_to_list(I)) || I <- lists:seq(1, Nodes)],
            Pieces = ml_cluster_split:even(Texts, Names, limits(1000000, 1000000)),
            Share = (length(Texts) + Nodes - 1) div Nodes,
            joined(Pieces) =:= Texts andalso
                lists:all(fun(#{texts := Piece}) -> length(Piece) =< Share end, Pieces)
        end
    ).

prop_by_owner() ->
    ?FORALL(
        Texts,
        list(binary()),
        begin
            Owner = fun(Text) -> lists:nth(1 + erlang:phash2(Text, 3), [n1, n2, n3]) end,
            Pieces = ml_cluster_split:by_owner(Texts, Owner, limits(20, 3)),
            joined(Pieces) =:= Texts andalso
                lists:all(
                    fun
                        (#{texts := []}) -> true;
                        (#{texts := Piece, prefer := Node}) ->
                            lists:all(fun(Text) -> Owner(Text) =:= Node end, Piece)
                    end,
                    Pieces
                )
        end
    ).
