%% @doc Cuts the texts of a call into pieces and puts the answers together in the order of the
%% texts. Pure. A piece is a list of `{Index, Text}'; which worker it goes to may be prescribed.
-module(ml_cluster_split).

-export([whole/2, even/3, by_owner/3, join/1, join/2]).
-export_type([text/0, piece/0, limits/0]).

-type text() :: term().
-type piece() :: #{indices := [pos_integer()], texts := [text()], prefer => node()}.
-type limits() :: #{piece_bytes := pos_integer(), piece_texts := pos_integer(), _ => _}.

%% @doc Pieces of bounded size: one huge message would hold up every small call to the same worker.
-spec whole([text()], limits()) -> [piece(), ...].
whole(Texts, #{piece_bytes := Bytes, piece_texts := Count} = Limits) ->
    case fits(Texts, Bytes, Count) of
        %% Nearly always: then nothing has to be taken apart.
        true -> [#{indices => lists:seq(1, length(Texts)), texts => Texts}];
        false -> bounded(indexed(Texts), Limits)
    end.

fits([], _, _) ->
    true;
fits([Text | Rest], Bytes, Count) ->
    Left = Bytes - text_size(Text),
    Count > 0 andalso Left >= 0 andalso fits(Rest, Left, Count - 1).

%% @doc One share per node, as even as can be, each in pieces of bounded size.
-spec even([text()], [node(), ...], limits()) -> [piece()].
even(Texts, Nodes, Limits) ->
    Share = max(1, (length(Texts) + length(Nodes) - 1) div length(Nodes)),
    Shares = chunks(indexed(Texts), Share),
    %% The last nodes get nothing when there are fewer texts than nodes.
    Used = lists:sublist(Nodes, length(Shares)),
    lists:append([
        prefer(Node, bounded(Part, Limits))
     || {Node, Part} <- lists:zip(Used, Shares)
    ]).

%% @doc Each text to the node that owns it.
-spec by_owner([text()], fun((text()) -> node()), limits()) -> [piece(), ...].
by_owner(Texts, OwnerOf, Limits) ->
    Groups = lists:foldr(
        fun({_, Text} = Item, Acc) ->
            maps:update_with(OwnerOf(Text), fun(Items) -> [Item | Items] end, [Item], Acc)
        end,
        #{},
        indexed(Texts)
    ),
    case maps:to_list(Groups) of
        [] -> whole([], Limits);
        List -> lists:append([prefer(Node, bounded(Items, Limits)) || {Node, Items} <- List])
    end.

%% @doc The values of all pieces in the order of the texts.
-spec join([{[pos_integer()], [Value]}, ...]) -> [Value].
join(Parts) ->
    {Indices, Values} = lists:unzip(Parts),
    join(Indices, lists:append(Values)).

%% @doc As join/1, of the pieces' indices and of their values one after the other.
-spec join([[pos_integer()]], [Value]) -> [Value].
join(Parts, Values) ->
    Indices = lists:append(Parts),
    case Indices =:= lists:seq(1, length(Indices)) of
        %% Nearly always: only texts divided by owner come in another order.
        true -> Values;
        false -> [Value || {_, Value} <- lists:keysort(1, lists:zip(Indices, Values))]
    end.

indexed(Texts) -> lists:zip(lists:seq(1, length(Texts)), Texts).

prefer(Node, Pieces) -> [Piece#{prefer => Node} || Piece <- Pieces].

bounded([], _) ->
    [];
bounded(Items, #{piece_bytes := Bytes, piece_texts := Count} = Limits) ->
    {Piece, Rest} = take(Items, Bytes, Count, []),
    [piece(Piece) | bounded(Rest, Limits)].

%% At least one text is taken, however long it is.
take([{_, Text} = Item | Rest], Bytes, Count, []) ->
    take(Rest, Bytes - text_size(Text), Count - 1, [Item]);
take([{_, Text} = Item | Rest] = Items, Bytes, Count, Taken) ->
    Left = Bytes - text_size(Text),
    case Count > 0 andalso Left >= 0 of
        true -> take(Rest, Left, Count - 1, [Item | Taken]);
        false -> {lists:reverse(Taken), Items}
    end;
take([], _, _, Taken) ->
    {lists:reverse(Taken), []}.

text_size(Text) when is_binary(Text) -> byte_size(Text);
%% A charlist, or something that the worker will refuse; either way its size is only a guess.
text_size(Text) when is_list(Text) ->
    try
        length(Text)
    catch
        error:badarg -> 1
    end;
text_size(_) ->
    1.

piece(Items) ->
    {Indices, Texts} = lists:unzip(Items),
    #{indices => Indices, texts => Texts}.

chunks([], _) ->
    [];
chunks(Items, Size) ->
    {Chunk, Rest} = lists:split(min(Size, length(Items)), Items),
    [Chunk | chunks(Rest, Size)].
