-module(ml_cluster_kinds_tests).
-include_lib("eunit/include/eunit.hrl").

part(Index, Count, ModelId, Numerics, Node) ->
    Piece = #{indices => lists:seq(Index, Index + Count - 1), texts => lists:duplicate(Count, <<>>)},
    {Piece#{prefer => Node}, #{model_id => ModelId, numerics => Numerics}, Node}.

parts() ->
    [part(1, 3, m, f16, a), part(4, 1, m, f32, b), part(5, 1, m, f32, c), part(6, 2, m, f32, b)].

one_kind_agrees_test() ->
    ?assertEqual(agreed, ml_cluster_kinds:plan([part(1, 1, m, f, a), part(2, 1, m, f, b)], false, [])),
    ?assertEqual(agreed, ml_cluster_kinds:plan(parts(), true, [])).

%% Texts count, not parts: three parts of four texts win over one of three.
the_kind_of_most_texts_stays_test() ->
    [First | Others] = parts(),
    ?assertEqual(
        {recompute, {m, f32}, [maps:remove(prefer, element(1, First))], [b, c], Others},
        ml_cluster_kinds:plan(parts(), false, [])
    ).

a_barred_kind_is_computed_again_test() ->
    [First | Others] = parts(),
    {recompute, {m, f16}, Missing, [a], Kept} = ml_cluster_kinds:plan(parts(), false, [{m, f32}]),
    ?assertEqual([maps:remove(prefer, Piece) || {Piece, _, _} <- Others], Missing),
    ?assertEqual([First], Kept),
    ?assertEqual(none_left, ml_cluster_kinds:plan(parts(), false, [{m, f32}, {m, f16}])).

two_models_never_mix_test() ->
    Parts = [part(1, 2, m, f, a), part(3, 1, n, f, b)],
    ?assertMatch({recompute, {m, any}, [_], [a], [_]}, ml_cluster_kinds:plan(Parts, true, [])),
    {Piece, _, _} = hd(Parts),
    ?assertMatch(
        {recompute, _, [_], _, _},
        ml_cluster_kinds:plan([{Piece, #{}, a}, part(3, 1, m, f, b)], true, [])
    ).

numerics_test() ->
    ?assertEqual(#{}, ml_cluster_kinds:numerics([#{}])),
    ?assertEqual(#{numerics => f}, ml_cluster_kinds:numerics([#{numerics => f}, #{numerics => f}])),
    ?assertEqual(#{numerics => [f, g]}, ml_cluster_kinds:numerics([#{numerics => g}, #{numerics => f}])).
