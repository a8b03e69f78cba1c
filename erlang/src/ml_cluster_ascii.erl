%% @doc Text that came from outside and nobody has looked at: any byte may be in it, so only the letters
%% and blanks of ASCII count. `string' takes it for UTF-8 and raises where it is none. Pure.
-module(ml_cluster_ascii).

-export([lowercase/1, trim/1]).

-define(IS_BLANK(C), (C =:= $\s orelse C =:= $\t orelse C =:= $\r)).

-spec lowercase(binary()) -> binary().
lowercase(Text) -> <<<<(lower(C))>> || <<C>> <= Text>>.

lower(C) when C >= $A, C =< $Z -> C + 32;
lower(C) -> C.

%% @doc Without the blanks, tabs and carriage returns round it.
-spec trim(binary()) -> binary().
trim(<<C, Rest/binary>>) when ?IS_BLANK(C) -> trim(Rest);
trim(Text) -> binary:part(Text, 0, length_of(Text, byte_size(Text))).

%% How much is left without the blanks behind it; before them stands something else.
length_of(_, 0) -> 0;
length_of(Text, Length) ->
    case binary:at(Text, Length - 1) of
        C when ?IS_BLANK(C) -> length_of(Text, Length - 1);
        _ -> Length
    end.
