#!/usr/bin/perl
# names.pl RULE FILE...: what C files declare and define, for tests/tidy. Prints one line for each break of the rule:
#   homes   a header that declares functions stands beside its .c, or is its folder's (internal.h, x-internal.h, folder.h),
#           and its folder defines what it declares
#   unique  no two programs (top folders) define a public function, or a struct in a header, of one name
# A small reader of C at file level: no preprocessor, no types. It relies on the tree's format (clang-format).
use strict;
use warnings;

my ($rule, @files) = @ARGV;
my (%defined, %declared, %struct_of);    # {name}{file}, {file}{name} = line, {name}{file}

sub read_file {
        my ($file) = @_;
        open(my $in, '<', $file) or die "$file: $!\n";
        local $/;
        my $s = <$in>;
        close($in);
        # Comments and literals go, lines stay.
        $s =~ s{(/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')}{
                my $gone = $1; my $n = ($gone =~ tr/\n//);
                ($gone =~ /^["']/ ? '""' : ' ') . "\n" x $n }gse;
        $s =~ s{^[ \t]*#(?:[^\n]*\\\n)*[^\n]*}{ "\n" x ($& =~ tr/\n//) }gme;
        return $s;
}

# Statements at file level: text and line of each, with what ends it (; or {).
sub statements {
        my ($s) = @_;
        my ($depth, $line, $start, $text) = (0, 1, 1, '');
        my @all;
        for my $c (split //, $s) {
                $line++ if $c eq "\n";
                if ($c eq '{') {
                        push @all, [$text, $start, '{'] if $depth == 0;
                        $depth++;
                } elsif ($c eq '}') {
                        $depth--;
                        $text = '' if $depth == 0;
                } elsif ($depth == 0 && $c eq ';') {
                        push @all, [$text, $start, ';'];
                        $text = '';
                } elsif ($depth == 0) {
                        $start = $line if $text !~ /\S/;
                        $text .= $c;
                }
        }
        return @all;
}

for my $file (@files) {
        for (statements(read_file($file))) {
                my ($text, $line, $end) = @$_;
                $text =~ s/\b_\w+_\b(?:\([^()]*\))?//g;              # our attributes
                $text =~ s/__attribute__\s*\(\((?:[^()]|\([^()]*\))*\)\)//g;
                $text =~ s/^\s+|\s+$//g;
                if ($end eq '{' && $file =~ /\.h$/ && $text =~ /^struct\s+(\w+)$/) {
                        $struct_of{$1}{$file} = $line;
                        next;
                }
                next if $text =~ /^(?:typedef|static|enum|union|DEFINE_)\b/ || $text =~ /=/;
                # type name(arguments): not a pointer to a function.
                next unless $text =~ /^[A-Za-z_][\w\s\*]*?[\s\*](\w+)\s*\((?!\s*\*)/;
                my $name = $1;
                if ($end eq '{') { $defined{$name}{$file} = $line }
                elsif ($file =~ /\.h$/ && $text =~ /\)$/) { $declared{$file}{$name} = $line }
        }
}

sub folder { my ($f) = @_; $f =~ s{/[^/]*$}{}; return $f }
sub program { my ($f) = @_; $f =~ s{/.*}{}; return $f }

if ($rule eq 'homes') {
        for my $file (sort keys %declared) {
                my $folder = folder($file);
                my ($base) = $file =~ m{([^/]*)\.h$};
                my ($last) = $folder =~ m{([^/]*)$};
                print "$file: no $base.c beside it\n"
                        unless -e "$folder/$base.c" || $base =~ /(?:^|-)internal$/ || $base eq $last;
                for my $name (sort keys %{$declared{$file}}) {
                        my @where = keys %{$defined{$name} // {}};
                        next if !@where;    # generated
                        print "$file:$declared{$file}{$name}: $name() is defined in @where\n"
                                unless grep { folder($_) eq $folder } @where;
                }
        }
} elsif ($rule eq 'unique') {
        for my $kind ([\%defined, '()'], [\%struct_of, '']) {
                my ($names, $mark) = @$kind;
                for my $name (sort keys %$names) {
                        next if $name eq 'main';
                        my %programs;
                        push @{$programs{program($_)}}, "$_:$names->{$name}{$_}" for sort keys %{$names->{$name}};
                        print "$name$mark: " . join(', ', map { $programs{$_}[0] } sort keys %programs) . "\n"
                                if keys %programs > 1;
                }
        }
} else {
        die "names.pl: unknown rule $rule\n";
}
