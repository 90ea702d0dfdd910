"""Events of people's records, as formats that hold such share them: columns, times, pseudonyms."""
